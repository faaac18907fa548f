//! Everything that CI checks: formatting, lints, all tests, with the real components they need.

use crate::{
    packages::install,
    shell::{is_root, run as program, say},
};

pub(crate) fn run() -> Result<(), String> {
    install(&[
        ("busybox", "busybox-static"),
        ("docker-registry", "docker-registry"),
        ("skopeo", "skopeo"),
        ("umoci", "umoci"),
        ("setpriv", "util-linux"),
        ("newuidmap", "uidmap"),
        ("setfattr", "attr"),
        ("setcap", "libcap2-bin"),
        ("python3", "python3"),
        ("pip3", "python3-pip"),
        ("ssh-agent", "openssh-client"),
        ("git", "git"),
        ("shellcheck", "shellcheck"),
        ("bzip2", "bzip2"),
        ("xz", "xz-utils"),
        ("zstd", "zstd"),
    ])?;
    say("== formatting");
    program("cargo", &["fmt", "--all", "--check"])?;
    say("== lints");
    program(
        "cargo",
        &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
    )?;
    say("== tests");
    program("cargo", &["test", "--workspace", "--quiet", "--no-fail-fast"])?;
    say("== Amazon ECR");
    crate::ecr::run()?;
    say("== a push that is cut");
    crate::cuts::run(&["--small"])?;
    if !is_root() {
        say("== beside Docker: needs root, and is left to CI");
        return Ok(());
    }
    say("== beside Docker");
    crate::differential::subset()?;
    say("== in pods and as users");
    crate::ladder::subset()
}
