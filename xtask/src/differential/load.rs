//! What the engine makes of our images: `docker load` of both forms, `docker inspect`, `docker run`.

use crate::differential::{
    case::Case,
    judge::{Judge, Place, tag},
    reference::{finished, said},
    text,
};
use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What a container of the image tells of itself, with nothing that is another at each start.
const TELL: &str = "id; pwd; env | grep -v ^HOSTNAME= | sort; \
                    find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /etc/hosts \
                    -o -path /etc/hostname -o -path /etc/resolv.conf -o -path /.dockerenv \\) -prune \
                    -o -print | sort | while read -r it; do stat -c '%n %F %a %u:%g' \"$it\"; done";

/// A layout's archive as one for Docker.
fn converted(layout: &Path, name: &str) -> Result<PathBuf, String> {
    let to = layout.with_extension("docker.tar");
    if to.exists() {
        fs::remove_file(&to).map_err(|error| error.to_string())?;
    }
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "-q"]);
    skopeo.arg(format!("oci-archive:{}", layout.display()));
    finished(skopeo.arg(format!("docker-archive:{}:{name}", to.display())))?;
    Ok(to)
}

/// Config and file tree of the image as the engine has them, and what a container tells.
struct Seen {
    config: String,
    told: Output,
}

impl Judge<'_> {
    /// The image of the case is built as an archive for Docker and as a layout, and loaded; the engine
    /// must see in it what it sees in its own.
    pub(crate) fn load(&self, case: &Case, place: &Place) -> Result<(), String> {
        let theirs = self.seen(&tag(case))?;
        for kind in ["docker", "oci"] {
            let name = format!("differential-loaded:{kind}-{}", case.name.to_lowercase());
            let file = place.out.join(format!("{kind}.tar"));
            let output = format!("type={kind},dest={},name={name}", file.display());
            let built = self.build_to(case, place, &output, false)?;
            if !built.status.success() {
                return Err(format!("strake cannot write type={kind}:\n{}", said(&built)));
            }
            let file = match kind {
                "docker" => file,
                // This engine's `load` reads no layouts: a reader that is neither's does.
                _ => converted(&file, &name)?,
            };
            let loaded = self.docker(&["load", "-q", "-i", &text(&file)])?;
            if !loaded.status.success() {
                return Err(format!("docker load of type={kind} failed:\n{}", said(&loaded)));
            }
            let ours = self.seen(&name)?;
            if ours.config != theirs.config {
                return Err(format!(
                    "docker inspect after load of type={kind}: (ours | theirs)\n{}\n{}",
                    ours.config, theirs.config
                ));
            }
            if ours.told.status != theirs.told.status || ours.told.stdout != theirs.told.stdout {
                return Err(format!(
                    "docker run after load of type={kind}: ours\n{}\ntheirs\n{}",
                    said(&ours.told),
                    said(&theirs.told)
                ));
            }
            self.docker(&["rmi", "-f", &name])?;
        }
        Ok(())
    }

    fn seen(&self, image: &str) -> Result<Seen, String> {
        let format = "{{json .Config}} {{.Architecture}} {{.Os}} {{.Author}}";
        let config = self.docker(&["image", "inspect", "--format", format, image])?;
        if !config.status.success() {
            return Err(format!("docker inspect {image}:\n{}", said(&config)));
        }
        let told = self.docker(&[
            "run",
            "--rm",
            "--network=none",
            "--entrypoint=/bin/sh",
            "--no-healthcheck",
            image,
            "-c",
            TELL,
        ])?;
        Ok(Seen { config: String::from_utf8_lossy(&config.stdout).into_owned(), told })
    }

    fn docker(&self, args: &[&str]) -> Result<Output, String> {
        let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
        self.reference.docker(self.work, &args)
    }
}
