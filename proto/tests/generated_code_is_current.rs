//! Holds the checked-in generated code to the `.proto` files.

mod generation;

#[test]
fn generated_code_is_current() {
    let fresh = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    generation::generate(&fresh).expect("the contract compiles");
    for name in ["omni_scale.v1.rs", "descriptors.binpb"] {
        let read = |directory: &std::path::Path| {
            std::fs::read(directory.join(name)).expect("the file is there")
        };
        assert!(
            read(&fresh) == read(&generation::checked_in()),
            "{name} is stale: run `cargo run -p omni-scale-proto --example generate`"
        );
    }
}
