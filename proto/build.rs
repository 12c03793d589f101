//! Compiles the `.proto` files with a compiler written in Rust; no protoc is needed.

use std::error::Error;
use std::path::{Path, PathBuf};

/// Root of the packages.
const INCLUDE: &str = "proto";

/// The public package, promised to clients.
const PUBLIC: &[&str] = &[
    "ringhold/v1/error.proto",
    "ringhold/v1/task.proto",
    "ringhold/v1/executor_service.proto",
    "ringhold/v1/cluster_service.proto",
];

/// What members say to each other and store; only with feature `internal`.
const INTERNAL: &[&str] = &[
    "ringhold/internal/v1/ring.proto",
    "ringhold/internal/v1/control.proto",
    "ringhold/internal/v1/peer.proto",
    "ringhold/internal/v1/raft.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={INCLUDE}");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let internal = std::env::var_os("CARGO_FEATURE_INTERNAL").is_some();
    write_descriptors(&out.join("ringhold_descriptor.bin"))?;
    let files = PUBLIC
        .iter()
        .chain(INTERNAL.iter().filter(|_| internal))
        .copied();
    let descriptors = protox::Compiler::new([INCLUDE])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(files)?
        .file_descriptor_set();
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .include_file("generated.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Writes the public package's descriptors, without comments, for gRPC reflection.
fn write_descriptors(to: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = protox::Compiler::new([INCLUDE])?
        .include_source_info(false)
        .include_imports(true)
        .open_files(PUBLIC.iter().copied())?
        .encode_file_descriptor_set();
    std::fs::write(to, bytes)?;
    Ok(())
}
