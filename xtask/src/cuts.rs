//! A push of one large and many small layers, killed at random points and started again until it is done;
//! what it sends is counted on the way to the registry.
//!
//! `cargo xtask cuts` has 1 GB and 20 cuts, `--small` a tenth of it and 5. Twice: where chunks stay (Debian's
//! registry behind a front that takes chunks whole and knows how far an upload is), and at Debian's registry
//! itself, which forgets an upload whose chunk breaks.

use crate::{
    noise,
    packages::install,
    proxy::{Fault, Proxy},
    registry::Registry,
    shell::{output, say, strake_for_tests},
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// No chunk may be larger.
const CHUNK: u64 = 16 << 20;

/// How much, and how often.
struct Scale {
    large: usize,
    small: usize,
    layers: u64,
    cuts: u64,
}

pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let scale = match words {
        [] => Scale { large: 800 << 20, small: 1 << 20, layers: 200, cuts: 20 },
        ["--small"] => Scale { large: 80 << 20, small: 1 << 20, layers: 20, cuts: 5 },
        _ => return Err("usage: cargo xtask cuts [--small]".to_owned()),
    };
    install(&[("docker-registry", "docker-registry"), ("skopeo", "skopeo")])?;
    let strake = strake_for_tests()?;
    let folder = PathBuf::from(format!("/var/tmp/strake-cuts-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|it| it.to_string())?;
    let done = both(&scale, &folder, &strake);
    let _ = fs::remove_dir_all(&folder);
    done
}

fn both(scale: &Scale, folder: &Path, strake: &Path) -> Result<(), String> {
    image(scale, folder, strake)?;
    let mut table = Vec::new();
    for chunks_stay in [true, false] {
        table.push(cut(scale, folder, strake, chunks_stay)?);
    }
    say(
        "\n| registry | image | cuts | sent | blobs that were sent after they had arrived |\n|---|---|---|---|---|",
    );
    table.iter().for_each(|it| say(it));
    Ok(())
}

/// A layout with one large and many small layers.
fn image(scale: &Scale, folder: &Path, strake: &Path) -> Result<(), String> {
    let text = |it: std::io::Error| it.to_string();
    let context = folder.join("context");
    fs::create_dir_all(&context).map_err(text)?;
    let mut dockerfile = "FROM scratch\n".to_owned();
    for layer in 0..=scale.layers {
        let size = if layer == 0 { scale.large } else { scale.small };
        fs::write(context.join(layer.to_string()), noise::bytes(layer, size)).map_err(text)?;
        dockerfile += &format!("COPY {layer} /{layer}\n");
    }
    fs::write(context.join("Dockerfile"), dockerfile).map_err(text)?;
    let layout = folder.join("layout").display().to_string();
    let out = format!("type=oci,tar=false,dest={layout},compression=uncompressed");
    let status = command(strake, folder)
        .args(["build", "-q", "-o", &out, &context.display().to_string()])
        .status();
    if !status.map_err(text)?.success() {
        return Err("the image was not built".to_owned());
    }
    fs::remove_dir_all(context).map_err(text)
}

fn command(strake: &Path, folder: &Path) -> Command {
    let mut command = Command::new(strake);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("STRAKE_STORE", folder.join("store"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Pushes with cuts; returns a line of the table.
fn cut(scale: &Scale, folder: &Path, strake: &Path, stay: bool) -> Result<String, String> {
    let text = |it: std::io::Error| it.to_string();
    let place = folder.join(if stay { "behind" } else { "plain" });
    let registry = Registry::start(&place)?;
    let proxy = Proxy::start(registry.port, |_, _| Fault::default());
    // So slow that a kill lands in the middle of something.
    proxy.rate(80 << 20);
    if stay {
        proxy.buffer();
    }
    let image = scale.large as u64 + scale.layers * scale.small as u64;
    let name = proxy.name("cut/app:1");
    let layout = folder.join("layout").display().to_string();
    let mut random = 0x5eed_u64;
    for _ in 0..scale.cuts {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let more = (random >> 33) % (image / scale.cuts);
        let until = proxy.total() + more;
        let mut push = command(strake, folder)
            .args(["push", "-q", &layout, &name])
            .stderr(Stdio::null())
            .spawn()
            .map_err(text)?;
        while proxy.total() < until && push.try_wait().map_err(text)?.is_none() {
            sleep(Duration::from_millis(1));
        }
        push.kill().map_err(text)?;
        push.wait().map_err(text)?;
    }
    let last = command(strake, folder).args(["push", "-q", &layout, &name]).status();
    if !last.map_err(text)?.success() {
        return Err("the last push failed".to_owned());
    }
    let direct = format!("docker://127.0.0.1:{}/cut/app:1", registry.port);
    output("skopeo", &["inspect", "--tls-verify=false", &direct])?;
    let copy = format!("dir:{}", place.join("copy").display());
    output("skopeo", &["copy", "-q", "--src-tls-verify=false", &direct, &copy])?;
    fs::remove_dir_all(place.join("copy")).map_err(text)?;
    judged(scale, &proxy, image, stay)
}

fn judged(scale: &Scale, proxy: &Proxy, image: u64, stay: bool) -> Result<String, String> {
    let sent = proxy.total();
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    for seen in proxy.log() {
        let digest = seen.head.target.split("digest=").nth(1).unwrap_or_default();
        if seen.head.method == "PUT" && !digest.is_empty() && seen.status == 201 {
            *stored.entry(digest.to_owned()).or_default() += 1;
        }
    }
    let twice = stored.values().filter(|it| **it > 1).count();
    let name = match stay {
        true => "docker-registry behind a front that keeps chunks",
        false => "docker-registry",
    };
    let mega = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let line = format!("| {name} | {} | {} | {} | {twice} |", mega(image), scale.cuts, mega(sent));
    // Headers of tars, config and manifest are beyond what files have.
    let most = image + scale.cuts * CHUNK + (4 << 20);
    if stay && sent > most {
        return Err(format!("more than the image and a chunk for each cut was sent: {line}"));
    }
    if twice > 0 {
        return Err(format!("a finished blob was sent twice: {line}"));
    }
    Ok(line)
}
