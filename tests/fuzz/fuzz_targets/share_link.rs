//! The fragment of a link: what is read comes back from the link that is made of it.
#![no_main]

use gpu_mem_calc::api::share;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|fragment: &str| {
    let (request, _) = share::from_fragment(fragment);
    let (again, issues) = share::from_fragment(&share::to_fragment(&request));
    assert_eq!(again, request);
    assert!(issues.is_empty());
});
