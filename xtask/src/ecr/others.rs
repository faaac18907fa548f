//! Where AWS gives no login, or none that counts: calls that fail now and then, logins that somebody has left,
//! and the public registry.

use super::{Bench, Ended, HOST};
use crate::noise;
use fs_err as fs;
use std::time::Duration;

/// The registry that everybody may read from.
const PUBLIC: &str = "public.ecr.aws";
/// What finds no AWS credentials, soon.
const NO_KEYS: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "secret-of-env")];

pub(super) fn run(bench: &mut Bench) -> Result<(), String> {
    busy(bench)?;
    logins(bench)?;
    public(bench)
}

fn busy(bench: &mut Bench) -> Result<(), String> {
    let image = format!("{HOST}/team/app:1");
    let asked = |bench: &Bench| bench.control.calls("GetAuthorizationToken").len();
    let before = asked(bench);
    bench.control.fail(&[Some((500, "ServerException")), None, Some((400, "ThrottlingException"))]);
    let ended = bench.at_ecr("inspect", &["--remote", "--raw", &image]);
    let calls = asked(bench) - before;
    let shown = if ended.ok { format!("{calls} calls for a login") } else { ended.text.clone() };
    let good = ended.ok && calls == 4;
    bench.check("a service that is busy or breaks off is asked again", good, &shown)?;

    bench.control.fail(&[Some((503, "ServiceUnavailable")), Some((503, "ServiceUnavailable"))]);
    let ended = bench.push("two", "team/late:1", &["--ecr-create", "-v"]);
    let told = ended.line("warning: attempt 2");
    let good = ended.ok && told.contains("Amazon ECR");
    bench.check("and -v tells of it", good, told)
}

fn logins(bench: &mut Bench) -> Result<(), String> {
    let good = bench.control.hand_out(Duration::from_secs(3600));
    let stale = bench.control.hand_out(Duration::ZERO);
    let (good, stale) = (docker_login(bench, HOST, &good)?, docker_login(bench, HOST, &stale)?);
    let image = format!("{HOST}/team/app:1");
    let read = ["--remote", "--raw", image.as_str()];
    let with = |folder: &str, keys: &[(&'static str, &'static str)]| {
        let mut env: Vec<(&str, String)> = keys.iter().map(|it| (it.0, it.1.to_owned())).collect();
        env.push(("DOCKER_CONFIG", folder.to_owned()));
        env
    };
    let run = |bench: &Bench, verb: &str, args: &[&str], env: &[(&str, String)]| -> Ended {
        let env: Vec<(&str, &str)> = env.iter().map(|it| (it.0, it.1.as_str())).collect();
        bench.at_ecr_with(verb, args, &env)
    };
    let ended = run(bench, "inspect", &read, &with(&good, &[NO_KEYS]));
    let shown = if ended.ok { "read" } else { &ended.text }.to_owned();
    bench.check("without AWS credentials the login of `docker login` counts", ended.ok, &shown)?;

    bench.control.deny(true);
    let ended = run(bench, "inspect", &read, &with(&good, &KEYS));
    bench.control.deny(false);
    let shown = if ended.ok { "read" } else { &ended.text }.to_owned();
    bench.check("so it does where the role may not log in", ended.ok, &shown)?;

    let layout = bench.path("one").display().to_string();
    let theirs = format!("{HOST}/theirs/app:1");
    let args = [layout.as_str(), theirs.as_str(), "--ecr-create"];
    let ended = run(bench, "push", &args, &with(&good, &KEYS));
    let shown = ended.line(HOST).to_owned();
    bench.check("and where the registry refuses the role", ended.ok, &shown)?;

    let ended = run(bench, "inspect", &read, &with(&stale, &KEYS));
    let shown = if ended.ok { "read" } else { &ended.text }.to_owned();
    bench.check("one that has expired does no harm to a role", ended.ok, &shown)?;

    let ended = run(bench, "push", &args, &with(&stale, &[NO_KEYS]));
    let hint = ended.line("hint:").to_owned();
    let told = ended.line("error:").contains("denied") && hint.contains("get-login-password");
    bench.check("one that has expired and is the only one is named", !ended.ok && told, &hint)?;

    let ended = run(bench, "push", &args, &with(&stale, &KEYS));
    let hint = ended.line("hint:").to_owned();
    let named = hint.contains("repository/theirs/app to this role");
    bench.check("nor does it hide the permission that is missing", !ended.ok && named, &hint)
}

fn public(bench: &mut Bench) -> Result<(), String> {
    let stale = docker_login(bench, PUBLIC, "stale")?;
    let image = format!("{PUBLIC}/team/app:1");
    let resolve = bench.resolve(PUBLIC);
    let endpoint = format!("http://127.0.0.1:{}", bench.control.port);
    let run = |bench: &Bench, verb: &str, args: &[&str], env: &[(&str, &str)]| {
        let mut all = vec![verb, "--plain-http", PUBLIC, "--resolve", &resolve];
        all.extend(args);
        let mut variables = vec![("AWS_ENDPOINT_URL_ECR_PUBLIC", endpoint.as_str())];
        variables.extend(env);
        bench.strake(&all, &variables)
    };
    let read = ["--remote", "--raw", image.as_str()];
    bench.control.deny(true);
    for (case, env) in [
        ("without AWS credentials", vec![NO_KEYS]),
        ("with a role that may not log in there", KEYS.to_vec()),
        ("with a login that has expired", [&KEYS[..], &[("DOCKER_CONFIG", &stale)]].concat()),
    ] {
        let ended = run(bench, "inspect", &read, &env);
        let shown = if ended.ok { "read" } else { &ended.text }.to_owned();
        bench.check(&format!("the public registry is read {case}"), ended.ok, &shown)?;
    }
    let layout = bench.path("one").display().to_string();
    let ended = run(bench, "push", &[&layout, &format!("{PUBLIC}/team/new:1")], &KEYS);
    bench.control.deny(false);
    let hint = ended.line("hint:").to_owned();
    let good = !ended.ok && hint.contains("GetAuthorizationToken");
    bench.check("who may not write to it is told what is missing", good, &hint)
}

/// What `docker login` leaves, in a folder for `DOCKER_CONFIG`.
fn docker_login(bench: &Bench, registry: &str, password: &str) -> Result<String, String> {
    let folder = bench.path(&format!("docker-{registry}-{password}"));
    fs::create_dir_all(&folder).map_err(|it| it.to_string())?;
    let auth = noise::base64(format!("AWS:{password}").as_bytes());
    let text = format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#);
    fs::write(folder.join("config.json"), text).map_err(|it| it.to_string())?;
    Ok(folder.display().to_string())
}
