//! The `shardgate` binary: hands the command line to [`shardgate::cli`].

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    shardgate::cli::main()
}
