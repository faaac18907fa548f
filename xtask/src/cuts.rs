//! A push of one large and many small layers, killed at random points and started again until it is done;
//! what it sends is counted on the way to the registry.
//!
//! `cargo xtask cuts` has 1 GB and 20 cuts, `--small` a tenth of it and 5. Twice: where chunks stay (Debian's
//! registry behind a front that takes chunks whole and knows how far an upload is), and at Debian's registry
//! itself, which forgets an upload whose chunk breaks.
//!
//! skopeo reads what came of it; so does Docker where `--client PROGRAM` gives its client. Docker takes no more
//! than 125 layers: it is given the same layers as images of at most 100.

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
    /// Docker's.
    client: Option<PathBuf>,
}

/// How many layers are in one image for Docker.
const DOCKERS: u64 = 100;

pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let (small, client) = match words {
        [] => (false, None),
        ["--small"] => (true, None),
        ["--client", client] => (false, Some(PathBuf::from(client))),
        ["--small", "--client", client] => (true, Some(PathBuf::from(client))),
        _ => return Err("usage: cargo xtask cuts [--small] [--client PROGRAM]".to_owned()),
    };
    let scale = match small {
        false => Scale { large: 800 << 20, small: 1 << 20, layers: 200, cuts: 20, client },
        true => Scale { large: 80 << 20, small: 1 << 20, layers: 20, cuts: 5, client },
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
    let docker = if scale.client.is_some() { (" Docker |", "---|") } else { ("", "") };
    say(&format!(
        "\n| registry | image | cuts | sent | blobs that were sent after they had arrived |{}\n\
         |---|---|---|---|---|{}",
        docker.0, docker.1
    ));
    table.iter().for_each(|it| say(it));
    Ok(())
}

/// A layout with one large and many small layers.
fn image(scale: &Scale, folder: &Path, strake: &Path) -> Result<(), String> {
    let text = |it: std::io::Error| it.to_string();
    let context = folder.join("context");
    fs::create_dir_all(&context).map_err(text)?;
    for layer in 0..=scale.layers {
        let size = if layer == 0 { scale.large } else { scale.small };
        fs::write(context.join(layer.to_string()), noise::bytes(layer, size)).map_err(text)?;
    }
    let layout = folder.join("layout").display().to_string();
    let out = format!("type=oci,tar=false,dest={layout},compression=uncompressed");
    build(folder, strake, 0..=scale.layers, &["-o", &out])
}

/// Builds an image of these layers.
fn build(
    folder: &Path,
    strake: &Path,
    layers: impl Iterator<Item = u64>,
    args: &[&str],
) -> Result<(), String> {
    let text = |it: std::io::Error| it.to_string();
    let context = folder.join("context");
    let lines = layers.map(|it| format!("COPY {it} /{it}\n")).collect::<String>();
    fs::write(context.join("Dockerfile"), format!("FROM scratch\n{lines}")).map_err(text)?;
    let mut build = command(strake, folder);
    build.args(["build", "-q"]).args(args).arg(&context);
    match build.status().map_err(text)?.success() {
        true => Ok(()),
        false => Err("the image was not built".to_owned()),
    }
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
    let line = judged(scale, &proxy, image, stay)?;
    match &scale.client {
        None => Ok(line),
        Some(client) => {
            docker(scale, folder, strake, client, &proxy).map(|it| format!("{line} {it} |"))
        }
    }
}

/// Pushes the layers as images that Docker takes, and pulls them with it: no layer is sent once more.
fn docker(
    scale: &Scale,
    folder: &Path,
    strake: &Path,
    client: &Path,
    proxy: &Proxy,
) -> Result<String, String> {
    let client = client.display().to_string();
    let (before, mut pulled) = (proxy.total(), 0);
    for first in (1..=scale.layers).step_by(usize::try_from(DOCKERS).unwrap_or(1)) {
        let last = (first + DOCKERS - 1).min(scale.layers);
        let name = proxy.name(&format!("cut/app:docker-{first}"));
        let layers = std::iter::once(0).chain(first..=last);
        let out = format!("type=image,push=true,name={name},compression=uncompressed");
        build(folder, strake, layers, &["-o", &out])?;
        output(&client, &["pull", "-q", &name])?;
        let count = ["image", "inspect", "-f", "{{len .RootFS.Layers}}", &name];
        let count = output(&client, &count)?.trim().parse::<u64>().unwrap_or_default();
        output(&client, &["image", "rm", &name])?;
        if count != last - first + 2 {
            return Err(format!("docker has {count} layers of {name}"));
        }
        pulled += count;
    }
    let more = proxy.total() - before;
    if more > 4 << 20 {
        return Err(format!("{more} bytes were sent again for docker"));
    }
    Ok(format!("docker pulled {pulled} layers"))
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
