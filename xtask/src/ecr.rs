//! Pushes to Amazon ECR without Amazon: moto as its control plane, Debian's registry as its store, and
//! between them what neither has: logins that end, repositories that are missing, tags that stay.
//!
//! `cargo xtask ecr` prints a table; `cargo xtask test` runs it, too.

mod control;
mod data;
mod moto;
mod others;
mod sources;

use crate::{packages::install, registry::Registry, shell::say};
use control::Control;
use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

/// The registry of the runner's own account.
const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
/// The same account elsewhere.
const ELSEWHERE: &str = "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com";

/// All that a case needs.
struct Bench {
    folder: PathBuf,
    strake: PathBuf,
    control: Arc<Control>,
    data: crate::proxy::Proxy,
    table: Vec<(String, String)>,
}

/// How strake ended.
struct Ended {
    ok: bool,
    text: String,
}

pub(crate) fn run() -> Result<(), String> {
    install(&[
        ("docker-registry", "docker-registry"),
        ("skopeo", "skopeo"),
        ("python3", "python3"),
        ("pip3", "python3-pip"),
    ])?;
    let strake = crate::shell::strake_for_tests()?;
    let folder = PathBuf::from(format!("/var/tmp/strake-ecr-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|it| it.to_string())?;
    let done = flow(&folder, strake);
    let _ = fs::remove_dir_all(&folder);
    done
}

fn flow(folder: &Path, strake: PathBuf) -> Result<(), String> {
    let moto = moto::Moto::start(folder)?;
    let registry = Registry::start(&folder.join("registry"))?;
    let control = Arc::new(Control::start(moto.port)?);
    let data = data::start(registry.port, Arc::clone(&control));
    let mut bench = Bench { folder: folder.to_owned(), strake, control, data, table: Vec::new() };
    bench.layouts()?;
    bench.repositories()?;
    bench.tags()?;
    bench.logins()?;
    bench.refusals()?;
    bench.builds()?;
    others::run(&mut bench)?;
    sources::run(&mut bench, moto.port)?;
    let patches = bench.data.log().iter().filter(|it| it.head.method == "PATCH").count();
    bench.check("no blob is sent in chunks", patches == 0, &format!("{patches} PATCH"))?;
    say("\n| case | shown |\n|---|---|");
    bench.table.iter().for_each(|(case, shown)| say(&format!("| {case} | {shown} |")));
    Ok(())
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Two images of some layers each, as layouts.
    fn layouts(&self) -> Result<(), String> {
        let text = |it: std::io::Error| it.to_string();
        for name in ["one", "two"] {
            let context = self.path(&format!("context-{name}"));
            fs::create_dir_all(&context).map_err(text)?;
            let mut dockerfile = "FROM scratch\n".to_owned();
            for layer in 0..6 {
                let file = format!("{layer}");
                let seed = u64::from(name == "two") * 100 + layer;
                fs::write(context.join(&file), crate::noise::bytes(seed, 200_000)).map_err(text)?;
                dockerfile += &format!("COPY {file} /{file}\n");
            }
            fs::write(context.join("Dockerfile"), dockerfile).map_err(text)?;
            let out = format!("type=oci,tar=false,dest={}", self.path(name).display());
            let context = context.display().to_string();
            self.strake(&["build", "-q", "-o", &out, &context], &[]).good()?;
        }
        Ok(())
    }

    /// Runs strake with these variables and nothing else of this machine's.
    fn strake(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(&self.strake);
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").envs(env.iter().copied());
        command.env("STRAKE_STORE", self.path("store")).stdin(Stdio::null());
        let output = command.output().expect("strake was built above");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ended { ok: output.status.success(), text }
    }

    /// `strake VERB ..` at ECR's names, as a runner with access keys.
    fn at_ecr(&self, verb: &str, args: &[&str]) -> Ended {
        let keys =
            [("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "secret-of-env")];
        self.at_ecr_with(verb, args, &keys)
    }

    fn at_ecr_with(&self, verb: &str, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let (here, there) = (self.resolve(HOST), self.resolve(ELSEWHERE));
        let mut all = vec![verb, "--plain-http", HOST, "--plain-http", ELSEWHERE];
        all.extend(["--resolve", &here, "--resolve", &there]);
        all.extend(args);
        let endpoint = format!("http://127.0.0.1:{}", self.control.port);
        let mut variables = vec![("AWS_ENDPOINT_URL_ECR", endpoint.as_str())];
        variables.extend(env);
        self.strake(&all, &variables)
    }

    fn resolve(&self, host: &str) -> String {
        format!("{host}=127.0.0.1:{}", self.data.port)
    }

    fn push(&self, layout: &str, name: &str, more: &[&str]) -> Ended {
        let layout = self.path(layout).display().to_string();
        let name = format!("{HOST}/{name}");
        let mut args = vec![layout.as_str(), name.as_str()];
        args.extend(more);
        self.at_ecr("push", &args)
    }

    fn check(&mut self, case: &str, good: bool, shown: &str) -> Result<(), String> {
        if !good {
            return Err(format!("{case}: {shown}"));
        }
        self.table.push((case.to_owned(), shown.lines().next().unwrap_or_default().to_owned()));
        Ok(())
    }

    /// Bytes of blobs that went up since the log was cleared.
    fn sent(&self) -> u64 {
        let blobs = |it: &&crate::proxy::Seen| it.head.target.contains("/blobs/");
        self.data.log().iter().filter(blobs).map(|it| it.up).sum()
    }

    fn repositories(&mut self) -> Result<(), String> {
        let ended = self.push("one", "team/app:1", &[]);
        let good = !ended.ok && ended.text.contains("--ecr-create");
        self.check("a missing repository is named, and what makes it", good, ended.line("error:"))?;

        let policy = self.path("policy.json");
        let rules = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged",
            "countType":"imageCountMoreThan","countNumber":9},"action":{"type":"expire"}}]}"#;
        fs::write(&policy, rules).map_err(|it| it.to_string())?;
        let create =
            format!("--ecr-create=immutable,scan,tag.team=web,lifecycle={}", policy.display());
        self.data.clear();
        let ended = self.push("one", "team/app:1", &[&create]);
        let first = self.sent();
        self.check("--ecr-create makes it and the push goes on", ended.ok, &ended.text)?;
        let asked = self.control.calls("CreateRepository");
        let body = asked.last().map(|it| it.body.to_string()).unwrap_or_default();
        let good = asked.len() == 1
            && ["IMMUTABLE", r#""scanOnPush":true"#, "web"].iter().all(|it| body.contains(it))
            && self.control.calls("PutLifecyclePolicy").len() == 1;
        self.check(
            "with immutability, scan, tags and lifecycle, once for six layers",
            good,
            &body,
        )?;
        self.data.clear();
        let ended = self.push("one", "team/app:1", &[&create]);
        let shown = format!("{first} bytes first, {} then", self.sent());
        self.check("the second push sends no blob", ended.ok && self.sent() == 0, &shown)
    }

    fn tags(&mut self) -> Result<(), String> {
        let ended = self.push("one", "team/app:1", &[]);
        self.check("an immutable tag of the same digest is fine", ended.ok, "pushed")?;
        let ended = self.push("two", "team/app:1", &[]);
        let digests = ended.line("error:").matches("sha256:").count();
        let shown = ended.line("error:").to_owned();
        self.check("of another it is an error with both", !ended.ok && digests == 2, &shown)?;
        let kind = self.at_ecr(
            "inspect",
            &["--remote", "--format", "{{.MediaType}}", &format!("{HOST}/team/app:1")],
        );
        let good = kind.text.trim() == "application/vnd.oci.image.manifest.v1+json";
        self.check("no index around one image", kind.ok && good, &kind.text)
    }

    fn logins(&mut self) -> Result<(), String> {
        self.control.lives(Duration::from_secs(8));
        let before = self.control.calls("GetAuthorizationToken").len();
        self.data.rate(50_000);
        let ended = self.push("two", "team/slow:1", &["--ecr-create"]);
        self.data.rate(0);
        let tokens = self.control.calls("GetAuthorizationToken").len() - before;
        let shown = format!("{tokens} logins for one push");
        self.check("a login that ends in mid-push is renewed", ended.ok && tokens > 1, &shown)?;

        self.control.lives(Duration::from_secs(43_200));
        self.control.revoke_after(Duration::from_secs(3));
        let before = self.control.calls("GetAuthorizationToken").len();
        self.data.rate(50_000);
        let ended = self.push("two", "team/revoked:1", &["--ecr-create"]);
        self.data.rate(0);
        let tokens = self.control.calls("GetAuthorizationToken").len() - before;
        let shown = format!("{tokens} logins; {}", ended.line("error:"));
        self.check("so is one that ends before its time", ended.ok && tokens == 2, &shown)?;

        let before = self.control.calls("GetAuthorizationToken").len();
        let layout = self.path("one").display().to_string();
        let (here, there) = (format!("{HOST}/team/app:1"), format!("{ELSEWHERE}/team/app:1"));
        let ended = self.at_ecr("push", &[&layout, &here, &there, "--ecr-create"]);
        let calls = self.control.calls("GetAuthorizationToken");
        let regions: Vec<&str> = calls[before..].iter().map(|it| it.region.as_str()).collect();
        let good = ended.ok && regions == ["us-east-1", "eu-west-1"];
        self.check("each region has a login of its own", good, &format!("{regions:?}"))
    }

    fn refusals(&mut self) -> Result<(), String> {
        let ended = self.at_ecr_with(
            "push",
            &[&self.path("one").display().to_string(), &format!("{HOST}/team/app:1")],
            &[("AWS_EC2_METADATA_DISABLED", "true")],
        );
        let good = !ended.ok && ended.text.contains("no AWS credentials");
        self.check("a runner without credentials is told", good, ended.line("error:"))?;

        self.control.deny(true);
        let ended = self.push("one", "team/app:1", &[]);
        self.control.deny(false);
        let hint = ended.line("hint:").to_owned();
        let good = !ended.ok && hint.contains("allow ecr:GetAuthorizationToken on");
        self.check("the permission for a login is named", good, &hint)?;

        let ended = self.push("two", "forbidden/app:1", &["--ecr-create"]);
        let hint = ended.line("hint:").to_owned();
        let arn = "arn:aws:ecr:us-east-1:123456789012:repository/forbidden/app";
        let good = !ended.ok && hint.contains(&format!("allow ecr:InitiateLayerUpload on {arn}"));
        self.check("so is the one for a push", good, &hint)?;
        let secret = ["secret-of-env", "aws-token-"].iter().any(|it| ended.text.contains(it));
        self.check("no secret is shown", !secret, "none")
    }

    fn builds(&mut self) -> Result<(), String> {
        let name = format!("{HOST}/built/app:1");
        let context = self.path("context-one").display().to_string();
        let flags = ["--provenance=false", "--sbom=false", "--load", "--pull", "--push"];
        let mut args = vec!["-t", name.as_str(), "--ecr-create"];
        args.extend(flags);
        args.push(&context);
        let ended = self.at_ecr("build", &args);
        self.check(&format!("strake build {}", flags.join(" ")), ended.ok, &ended.text)
    }
}

impl Ended {
    fn good(&self) -> Result<(), String> {
        if self.ok { Ok(()) } else { Err(self.text.clone()) }
    }

    /// The last line that begins so.
    fn line(&self, start: &str) -> &str {
        self.text.lines().rfind(|it| it.starts_with(start)).unwrap_or(&self.text)
    }
}
