//! The `lsnap` program: everything is in [`lsnap::cli`].

fn main() -> std::process::ExitCode {
    lsnap::cli::main()
}
