//! Embeds the kernel half: `bpf/infernosim.x86_64.bpf.o` as committed, or the file that
//! `INFERNOSIM_BPF_OBJECT` names (a developer's fresh build). Needs no tool chain but stable Rust.
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=INFERNOSIM_BPF_OBJECT");
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let committed = package.join("bpf/infernosim.x86_64.bpf.o");
    let object = std::env::var_os("INFERNOSIM_BPF_OBJECT").map_or(committed, PathBuf::from);
    println!("cargo:rerun-if-changed={}", object.display());
    println!("cargo:rustc-env=INFERNOSIM_BPF_OBJECT_PATH={}", object.display());
}
