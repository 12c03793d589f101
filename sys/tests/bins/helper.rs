//! A helper, for this crate's tests; what is shipped has its own.

fn main() {
    let _ = ringhold_sys::programs::helper_main_if_called();
    eprintln!("this program is started by tests only");
    std::process::exit(2);
}
