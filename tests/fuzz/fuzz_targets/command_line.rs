//! The command lines of servers and of training programs.
#![no_main]

use gpu_mem_calc::api;
use libfuzzer_sys::fuzz_target;

const PROGRAMS: [&str; 6] = [
    "vllm serve ",
    "python -m sglang.launch_server ",
    "text-generation-launcher ",
    "trtllm-serve ",
    "llama-server ",
    "torchrun pretrain_gpt.py ",
];

fuzz_target!(|input: (u8, &str)| {
    let (program, rest) = input;
    let start = PROGRAMS[usize::from(program) % PROGRAMS.len()];
    let import = api::read_text(&format!("{start}{rest}"));
    assert!(
        !import.found.is_empty()
            || !import.assumed.is_empty()
            || !import.not_understood.is_empty()
            || !import.issues.is_empty()
    );
});
