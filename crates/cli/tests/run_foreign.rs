//! RUN of a platform that is not this machine's. The interpreter is a program of 160 bytes that says
//! that it ran; each test has a binfmt_misc of its own in a user namespace (Linux 6.7).
#![cfg(target_arch = "x86_64")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::{Ended, Lab};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

/// An executable's first bytes.
fn header(machine: u8, big_endian: bool) -> Vec<u8> {
    let mut head = vec![0x7f, b'E', b'L', b'F', 2, if big_endian { 2 } else { 1 }, 1];
    head.resize(16, 0);
    head.extend(if big_endian { [0, 2, 0, machine] } else { [2, 0, machine, 0] });
    head
}

/// A program that prints `interpreted` and ends well.
fn interpreter(path: &Path) {
    let mut program = header(62, false);
    let number = |program: &mut Vec<u8>, it: u64, length: usize| {
        program.extend(&it.to_le_bytes()[..length]);
    };
    for (it, length) in [(1, 4), (0x40_0078, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (1, 2)]
    {
        number(&mut program, it, length);
    }
    program.resize(64, 0);
    for (it, length) in [(1, 4), (5, 4), (0, 8), (0x40_0000, 8), (0x40_0000, 8)] {
        number(&mut program, it, length);
    }
    for it in [172, 172, 4096] {
        number(&mut program, it, 8);
    }
    // write(1, text, 12), _exit(0)
    program.extend([0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x8d, 0x35, 16, 0, 0, 0]);
    program.extend([0xba, 12, 0, 0, 0, 0x0f, 5, 0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 5]);
    program.extend(b"interpreted\n");
    program.resize(172, 0);
    fs::write(path, program).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A base of that platform, `foreign`, whose shell is for that processor, and a RUN over it.
fn foreign(lab: &Lab, platform: &str, shell: &[u8]) {
    lab.write("foreign-context/Dockerfile", "FROM scratch\nCOPY sh /bin/sh\n");
    let shell_file = lab.path("foreign-context/sh");
    fs::write(&shell_file, shell).unwrap();
    fs::set_permissions(shell_file, fs::Permissions::from_mode(0o755)).unwrap();
    let out = format!("type=oci,tar=false,dest={}", lab.path("foreign").display());
    let folder = lab.path("foreign-context").display().to_string();
    lab.strake(&["build", "--platform", platform, "-o", &out, &folder]).ok();
    lab.write("context/Dockerfile", "FROM foreign\nRUN hello\n");
}

fn build_args(lab: &Lab, platform: &str) -> Vec<String> {
    let foreign = format!("foreign=oci-layout://{}", lab.path("foreign").display());
    lab.build_args(&["--platform", platform, "--build-context", &foreign])
}

/// Builds in a user namespace with a table of interpreters that has this one line.
fn build_with(lab: &Lab, platform: &str, line: &str) -> Ended {
    let script = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && \
                  if test \"$LINE\"; then printf %s \"$LINE\" > /proc/sys/fs/binfmt_misc/register; fi \
                  && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(lab.program()).args(build_args(lab, platform));
    command.env("STRAKE_STORE", lab.path("store")).env("LINE", line);
    Ended::of(command.output().unwrap())
}

fn line(magic: &[u8], interpreter: &Path, flags: &str) -> String {
    let magic: String = magic.iter().map(|it| format!("\\x{it:02x}")).collect();
    format!(":fake:M::{magic}::{}:{flags}", interpreter.display())
}

#[test]
fn a_registered_interpreter_runs_them() {
    let lab = Lab::new();
    let arm64 = header(183, false);
    foreign(&lab, "linux/arm64", &arm64);
    interpreter(&lab.path("fake"));
    let ended = build_with(&lab, "linux/arm64", &line(&arm64, &lab.path("fake"), "F")).ok();
    assert!(ended.stderr.contains(" interpreted"), "{}", ended.stderr);
}

#[test]
fn without_an_interpreter_it_is_said_what_is_missing() {
    let lab = Lab::new();
    let mips = header(8, true);
    foreign(&lab, "linux/mips64", &mips);
    let words = [
        "linux/mips64 programs cannot run on this linux/amd64 machine",
        "no interpreter",
        "qemu-user-static",
        "Dockerfile:2:1",
    ];
    build_with(&lab, "linux/mips64", "").failed_with(&words);
    // Looked for in the image, where it is not, and then where it is.
    interpreter(&lab.path("fake"));
    let unfixed = line(&mips, Path::new("/bin/fake"), "");
    build_with(&lab, "linux/mips64", &unfixed).failed_with(&["/bin/fake", "without the flag F"]);
    fs::copy(lab.path("fake"), lab.path("context/fake")).unwrap();
    lab.write("context/Dockerfile", "FROM foreign\nCOPY fake /bin/fake\nRUN hello\n");
    let ended = build_with(&lab, "linux/mips64", &unfixed).ok();
    assert!(ended.stderr.contains(" interpreted"), "{}", ended.stderr);
}

#[test]
fn a_user_needs_only_the_program() {
    let lab = Lab::ordinary();
    foreign(&lab, "linux/riscv64", &header(243, false));
    interpreter(&lab.path("qemu-riscv64-static"));
    let script = "mount -t tmpfs none /usr/local/bin && cp \"$QEMU\" /usr/local/bin && exec \"$@\"";
    // Without root there is no other user to become: the mapped one is ordinary outside.
    let map = if common::is_root() { "--mount" } else { "--map-root-user" };
    let build = lab.as_user(lab.program());
    let mut command = Command::new("unshare");
    command.args([map, "--mount", "sh", "-c", script, "sh"]);
    command.arg(build.get_program()).args(build.get_args()).args(build_args(&lab, "linux/riscv64"));
    command.env("STRAKE_STORE", lab.path("store")).env("QEMU", lab.path("qemu-riscv64-static"));
    let ended = Ended::of(command.output().unwrap()).ok();
    assert!(ended.stderr.contains(" interpreted"), "{}", ended.stderr);
}

#[test]
fn the_doctor_says_what_can_run() {
    let lab = Lab::new();
    let told = lab.strake(&["doctor"]).ok().stdout;
    let line = told.lines().find(|it| it.starts_with("platforms: ")).unwrap();
    assert!(line.contains("linux/amd64, linux/386 by this processor"), "{line}");
}
