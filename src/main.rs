//! The `lsnap` program: everything is in [`lsnap::compat`], which finds out under which name it was called.

fn main() -> std::process::ExitCode {
    lsnap::compat::main()
}
