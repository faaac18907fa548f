//! Where AWS credentials may come from: each source logs in, alone on an empty machine.

use super::{Bench, HOST};
use crate::http;
use fs_err as fs;
use std::{
    io::{BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Variables, and the key that a call must be signed with; an empty one is any that is not another's.
type Source = (&'static str, Vec<(&'static str, String)>, &'static str);

/// Where `aws sso login` leaves the token of the session `corp`: its name is the SHA-1 of that.
const SESSION: &str = "home/.aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";

pub(super) fn run(bench: &mut Bench, moto: u16) -> Result<(), String> {
    let metadata = Metadata::start()?;
    files(bench)?;
    for (name, env, key) in &sources(bench, moto, metadata.port) {
        let env: Vec<(&str, &str)> = env.iter().map(|it| (it.0, it.1.as_str())).collect();
        let image = format!("{HOST}/team/app:1");
        let ended = bench.at_ecr_with("inspect", &["--remote", "--raw", &image], &env);
        let calls = bench.control.calls("GetAuthorizationToken");
        let signed = calls.last().map(|it| it.key.clone()).unwrap_or_default();
        let right = if key.is_empty() { signed.starts_with("ASIA") } else { signed == *key };
        let shown = if ended.ok { format!("signed by {signed}") } else { ended.text.clone() };
        bench.check(&format!("credentials: {name}"), ended.ok && right, &shown)?;
    }
    let plain = metadata.plain.lock().unwrap_or_else(PoisonError::into_inner);
    bench.check("the machine's role is asked with a session only", *plain == 0, "IMDSv2")
}

fn sources(bench: &Bench, moto: u16, metadata: u16) -> Vec<Source> {
    let sts = format!("http://127.0.0.1:{moto}");
    let file = |name: &str| bench.path(name).display().to_string();
    let config = || {
        vec![
            ("AWS_CONFIG_FILE", file("aws-config")),
            ("AWS_SHARED_CREDENTIALS_FILE", file("aws-credentials")),
            ("AWS_ENDPOINT_URL_STS", sts.clone()),
        ]
    };
    let with = |more: &[(&'static str, &str)]| {
        let mut all = config();
        all.extend(more.iter().map(|it| (it.0, it.1.to_owned())));
        all
    };
    let local = |path: &str| format!("http://127.0.0.1:{}{path}", metadata);
    let role = "arn:aws:iam::123456789012:role/ci";
    vec![
        ("profile", with(&[("AWS_PROFILE", "plain")]), "AKIAPROFILE"),
        ("profile that assumes a role", with(&[("AWS_PROFILE", "assumed")]), ""),
        ("profile with a process", with(&[("AWS_PROFILE", "process")]), "AKIAPROCESS"),
        (
            "web identity (IRSA)",
            vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", file("web-token")),
                ("AWS_ROLE_ARN", role.to_owned()),
                ("AWS_ROLE_SESSION_NAME", "ci".to_owned()),
                ("AWS_ENDPOINT_URL_STS", sts.clone()),
            ],
            "",
        ),
        (
            "SSO",
            with(&[
                ("AWS_PROFILE", "sso"),
                ("AWS_ENDPOINT_URL_SSO", local("").as_str()),
                ("HOME", file("home").as_str()),
            ]),
            "AKIASSO",
        ),
        (
            "ECS container",
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", local("/ecs"))],
            "AKIACONTAINER",
        ),
        (
            "EKS Pod Identity",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", local("/eks")),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("web-token")),
            ],
            "AKIAPODIDENTITY",
        ),
        ("IMDSv2", vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", local(""))], "AKIAMACHINE"),
    ]
}

fn files(bench: &Bench) -> Result<(), String> {
    let process = bench.path("process.sh");
    let cache = bench.path("home/.aws/sso/cache");
    fs::create_dir_all(cache).map_err(|it| it.to_string())?;
    let answer = r#"{"Version":1,"AccessKeyId":"AKIAPROCESS","SecretAccessKey":"x"}"#;
    for (name, text) in [
        (
            "aws-config",
            format!(
                "[profile assumed]\nrole_arn = arn:aws:iam::123456789012:role/ci\n\
                 source_profile = plain\nregion = us-east-1\n\n[profile process]\n\
                 credential_process = /bin/sh {}\n\n[profile sso]\nsso_session = corp\n\
                 sso_account_id = 123456789012\nsso_role_name = ci\nregion = us-east-1\n\n\
                 [sso-session corp]\nsso_region = us-east-1\n\
                 sso_start_url = https://corp.awsapps.example/start\n",
                process.display()
            ),
        ),
        (
            "aws-credentials",
            "[plain]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = x\n".to_owned(),
        ),
        ("web-token", "a.web.token".to_owned()),
        ("process.sh", format!("echo '{answer}'\n")),
        (SESSION, r#"{"accessToken":"sso-token","expiresAt":"2099-01-01T00:00:00Z"}"#.to_owned()),
    ] {
        fs::write(bench.path(name), text).map_err(|it| it.to_string())?;
    }
    Ok(())
}

/// The services of machines and containers, at one address.
struct Metadata {
    port: u16,
    /// Requests for a role without a session.
    plain: Arc<Mutex<usize>>,
}

impl Metadata {
    fn start() -> Result<Metadata, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|it| it.to_string())?;
        let port = listener.local_addr().map_err(|it| it.to_string())?.port();
        let plain = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&plain);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                thread::spawn(move || serve(near, &counted));
            }
        });
        Ok(Metadata { port, plain })
    }
}

fn serve(near: TcpStream, plain: &Mutex<usize>) {
    let Ok(reading) = near.try_clone() else { return };
    let (mut from, mut near) = (BufReader::new(reading), near);
    while let Ok(Some(request)) = http::read(&mut from) {
        let keys = |key: &str| {
            format!(
                r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{key}","SecretAccessKey":"x","Token":"t","Expiration":"2099-01-01T00:00:00Z","LastUpdated":"2020-01-01T00:00:00Z"}}"#
            )
        };
        let session = request.header("x-aws-ec2-metadata-token") == "session";
        if request.target.starts_with("/latest/meta-data") && !session {
            *plain.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        let (status, body) = match (request.method.as_str(), request.target.as_str()) {
            ("PUT", "/latest/api/token") => (200, "session".to_owned()),
            ("GET", path) if path.starts_with("/latest/meta-data/iam/") && session => {
                match path.rsplit('/').next() {
                    Some("ci") => (200, keys("AKIAMACHINE")),
                    _ => (200, "ci".to_owned()),
                }
            }
            ("GET", "/ecs") => (200, keys("AKIACONTAINER")),
            ("GET", path)
                if path.starts_with("/federation/credentials?")
                    && path.contains("role_name=ci")
                    && path.contains("account_id=123456789012")
                    && request.header("x-amz-sso_bearer_token") == "sso-token" =>
            {
                let keys = r#"{"accessKeyId":"AKIASSO","secretAccessKey":"x","sessionToken":"t","expiration":4070908800000}"#;
                (200, format!(r#"{{"roleCredentials":{keys}}}"#))
            }
            ("GET", "/eks") if request.header("authorization") == "a.web.token" => {
                (200, keys("AKIAPODIDENTITY"))
            }
            _ => (404, String::new()),
        };
        let answer = http::Answer { status, body: body.into_bytes() };
        let kind = if request.target.starts_with("/latest/api") {
            "text/plain"
        } else {
            "application/json"
        };
        let mut bytes = http::written(&answer, kind);
        if kind == "text/plain" {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lives = "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n";
            bytes = text.replacen("\r\n\r\n", &format!("\r\n{lives}"), 1).into_bytes();
        }
        if near.write_all(&bytes).is_err() {
            return;
        }
    }
}
