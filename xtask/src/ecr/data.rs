//! ECR's way with images, before a registry that has another: logins that end, repositories that must be
//! there, tags that stay, and no chunks.

use super::control::{Control, Standing};
use crate::{
    noise,
    proxy::{Answer, Fault, Head, Proxy},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

/// Starts the way to the registry at `port`.
pub(super) fn start(port: u16, control: Arc<Control>) -> Proxy {
    Proxy::start(port, move |head, _| judge(port, head, &control))
}

fn judge(port: u16, head: &Head, control: &Control) -> Fault {
    if head.header("host") == "public.ecr.aws" {
        return public(head);
    }
    let realm = r#"Basic realm="https://123456789012.dkr.ecr.us-east-1.amazonaws.com/",service="ecr.amazonaws.com""#;
    let challenge = ("WWW-Authenticate", realm);
    let basic = head.header("authorization").strip_prefix("Basic ").unwrap_or_default();
    let login = String::from_utf8_lossy(&noise::unbase64(basic)).into_owned();
    let password = login.strip_prefix("AWS:").unwrap_or_default();
    match control.standing(password) {
        Standing::Good => {}
        Standing::Unknown => return error(401, "UNAUTHORIZED", "Not Authorized", Some(challenge)),
        Standing::Expired => {
            let told = "Your authorization token has expired. Reauthenticate and try again.";
            return error(403, "DENIED", told, None);
        }
    }
    let repository = head.target.strip_prefix("/v2/").unwrap_or_default();
    if repository.starts_with("theirs/") && !control.is_handed(password) {
        return error(403, "DENIED", "not authorized", None);
    }
    if head.method == "PATCH" {
        // As is reported of ECR: another status, and what follows is dropped.
        return Fault::status(201, &[], "");
    }
    if let Some((name, _)) = repository.split_once("/blobs/uploads/")
        && head.method == "POST"
    {
        return posted(name, control);
    }
    if let Some((name, tag)) = repository.split_once("/manifests/")
        && head.method == "PUT"
        && !tag.contains(':')
        && control.repository(name) == Some(true)
        && has(port, head)
    {
        let told = format!(
            "The image tag '{tag}' already exists in the '{name}' repository and cannot be \
             overwritten because the repository is immutable."
        );
        return error(400, "TAG_INVALID", &told, None);
    }
    // docker-registry gives addresses by the name that it was called by.
    Fault::edit(|_: &mut Answer| {})
}

/// The public registry: everybody may read, with a token that everybody gets.
fn public(head: &Head) -> Fault {
    let realm =
        r#"Bearer realm="http://public.ecr.aws/token/",service="public.ecr.aws",scope="aws""#;
    if head.target.starts_with("/token/") {
        return match head.header("authorization") {
            "" => Fault::status(200, &[], r#"{"token":"everybody"}"#),
            _ => error(400, "DENIED", "Your Authorization Token is invalid.", None),
        };
    }
    match (head.header("authorization"), head.method.as_str()) {
        ("Bearer everybody", "GET" | "HEAD") => Fault::edit(|_: &mut Answer| {}),
        ("Bearer everybody", _) => error(403, "DENIED", "Not Authorized", None),
        _ => error(401, "UNAUTHORIZED", "Not Authorized", Some(("WWW-Authenticate", realm))),
    }
}

fn posted(name: &str, control: &Control) -> Fault {
    if control.repository(name).is_none() {
        let told = format!(
            "The repository with name '{name}' does not exist in the registry with id '123456789012'"
        );
        return error(404, "NAME_UNKNOWN", &told, None);
    }
    if name.starts_with("forbidden/") {
        return error(403, "DENIED", "not authorized", None);
    }
    Fault::default()
}

/// Whether the registry has what a PUT would write.
fn has(port: u16, head: &Head) -> bool {
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let text = format!(
        "HEAD {} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n",
        head.target
    );
    let mut answer = String::new();
    let asked = far.write_all(text.as_bytes()).and_then(|()| far.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}

fn error(status: u16, code: &str, message: &str, header: Option<(&str, &str)>) -> Fault {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
    let headers: Vec<(&str, &str)> = header.into_iter().collect();
    Fault::status(status, &headers, &body)
}
