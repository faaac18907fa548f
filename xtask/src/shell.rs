//! Running programs and saying so.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Tells the person in front of the terminal.
#[expect(clippy::print_stderr, reason = "xtask talks to people")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is below the root").to_owned()
}

/// Runs a program in the checkout; not to end well is an error.
pub(crate) fn run(program: &str, args: &[impl AsRef<OsStr>]) -> Result<(), String> {
    run_with(program, args, &[])
}

/// The same with variables.
pub(crate) fn run_with(
    program: &str,
    args: &[impl AsRef<OsStr>],
    env: &[(&str, &str)],
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null()).envs(env.iter().copied());
    let status = command.status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}

/// What a program writes to standard output.
pub(crate) fn output(program: &str, args: &[impl AsRef<OsStr>]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The path of a program, where it is installed.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|it| it.join(program)).find(|it| it.is_file())
}

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    output("id", &["-u"]).is_ok_and(|it| it.trim() == "0")
}

/// Builds the static binary and returns its path.
pub(crate) fn strake() -> Result<PathBuf, String> {
    let host = output("rustc", &["-vV"])?;
    let host =
        host.lines().find_map(|it| it.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let args = ["build", "--release", "--package", "strake-cli", "--target", host];
    run_with("cargo", &args, &[("RUSTFLAGS", "-C target-feature=+crt-static")])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    Ok(target.join(host).join("release/strake"))
}

/// Builds strake as tests do and returns its path.
pub(crate) fn strake_for_tests() -> Result<PathBuf, String> {
    run("cargo", &["build", "--quiet", "--package", "strake-cli"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    Ok(target.join("debug/strake"))
}
