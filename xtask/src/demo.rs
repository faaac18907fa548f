//! The main job on an embedded default: no registry and no base image within reach.
//!
//! Makes a small base from this machine's busybox and node, builds a multi-stage image with a user
//! and a health check on it, and leaves it as an OCI layout.

use crate::{
    packages::{install, libraries},
    shell::{root, run as program, say, strake, which},
};
use fs_err as fs;
use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

fn build(strake: &Path, out: &Path) -> Result<(), String> {
    let text = |it: &Path| it.to_string_lossy().into_owned();
    let (store, base) = (text(&out.join("store")), text(&out.join("base")));
    let strake = text(strake);
    say("== a base image from this machine's busybox and node");
    program(
        &strake,
        &[
            "build",
            "--store",
            &store,
            "-f",
            "testdata/demo/base/Dockerfile",
            "-o",
            &format!("type=oci,tar=false,dest={base},name=node:demo"),
            &text(&out.join("base-context")),
        ],
    )?;
    say("== the application: two stages, a user, a health check");
    program(
        &strake,
        &[
            "build",
            "--store",
            &store,
            "-t",
            "strake-demo:latest",
            "--build-context",
            &format!("node:demo=oci-layout://{base}"),
            "-o",
            &format!("type=oci,tar=false,dest={}", text(&out.join("image"))),
            "testdata/demo/app",
        ],
    )
}

pub(crate) fn run() -> Result<(), String> {
    install(&[("busybox", "busybox-static"), ("node", "nodejs")])?;
    let strake = strake()?;
    let out = out();
    let _ = fs::remove_dir_all(out.join("base-context"));
    base_context(&out.join("base-context/rootfs")).map_err(|error| error.to_string())?;
    build(&strake, &out)?;
    let image = out.join("image");
    say(&format!("\nBuilt {} (an OCI layout).", image.display()));
    say("Look at it:  skopeo inspect oci:target/demo/image:latest");
    say(&format!(
        "Push it:     {} build --push -t REGISTRY/NAME:TAG \\\n               \
         --store target/demo/store --build-context node:demo=oci-layout://target/demo/base \\\n               \
         testdata/demo/app",
        strake.strip_prefix(root()).unwrap_or(&strake).display()
    ));
    Ok(())
}

fn out() -> PathBuf {
    root().join("target/demo")
}

/// A root file system: busybox, node and its libraries, a user.
fn base_context(rootfs: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for dir in ["bin", "etc", "usr/bin", "usr/local/bin", "home/node", "root", "var/tmp", "tmp"] {
        fs::create_dir_all(rootfs.join(dir))?;
    }
    fs::set_permissions(rootfs.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n",
    )?;
    fs::write(rootfs.join("etc/group"), "root:x:0:\nnode:x:1000:\n")?;
    let busybox = which("busybox").ok_or("busybox is not on PATH")?;
    fs::copy(&busybox, rootfs.join("bin/busybox"))?;
    let applets = crate::shell::output("busybox", &["--list"])?;
    for applet in applets.lines().filter(|it| *it != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet))?;
    }
    let node = fs::canonicalize(which("node").ok_or("node is not on PATH")?)?;
    fs::copy(&node, rootfs.join("usr/local/bin/node"))?;
    for library in libraries(&node)?.into_iter().chain(libraries(&busybox).unwrap_or_default()) {
        let inside = rootfs.join(library.trim_start_matches('/'));
        fs::create_dir_all(inside.parent().ok_or("a library has a folder")?)?;
        fs::copy(&library, inside)?;
    }
    Ok(())
}
