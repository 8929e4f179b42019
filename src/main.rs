//! The program `farrier`: server and command line.

fn main() -> std::process::ExitCode {
    farrier::cli::main()
}
