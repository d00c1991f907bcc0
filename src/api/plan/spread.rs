//! Work that falls into pieces: natively all cores take them in turn, in a browser one after the other.

/// Does every piece, and tells each result until the listener wants no more. Each thread has a worker of its own.
#[cfg(not(feature = "cli"))]
pub fn spread<P, W, R>(
    pieces: &[P],
    worker: impl Fn() -> W,
    work: impl Fn(&mut W, &P) -> R,
    listen: &mut dyn FnMut(R) -> bool,
) {
    let mut own = worker();
    for piece in pieces {
        if !listen(work(&mut own, piece)) {
            return;
        }
    }
}

/// As above, on all cores.
#[cfg(feature = "cli")]
pub fn spread<P: Sync, W, R: Send>(
    pieces: &[P],
    worker: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, &P) -> R + Sync,
    listen: &mut dyn FnMut(R) -> bool,
) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let (send, receive) = channel();
        for _ in 0..threads.min(pieces.len()) {
            let (send, next, worker, work) = (send.clone(), &next, &worker, &work);
            scope.spawn(move || {
                let mut own = worker();
                while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Nobody hears it any more: the work was stopped.
                    if send.send(work(&mut own, piece)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        for result in receive {
            if !listen(result) {
                break;
            }
        }
    });
}
