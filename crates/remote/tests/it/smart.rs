//! Repositories as real servers give them out: by `git http-backend`, which comes with git.

use crate::server::{Asked, Server, response};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// A server of the repositories below `root`, for requests that `may` lets through.
pub(crate) fn repositories(root: &Path, may: impl Fn(&Asked) -> bool + Send + 'static) -> Server {
    let root = root.to_owned();
    Server::new(move |asked| match may(asked) {
        true => backend(&root, asked),
        false => response("401 Unauthorized", &["WWW-Authenticate: Basic"], b""),
    })
}

/// Runs the program as a web server does (RFC 3875).
fn backend(root: &Path, asked: &Asked) -> Vec<u8> {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let header = |name: &str| asked.header(name).unwrap_or_default().to_owned();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .envs([("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")])
        .env("REQUEST_METHOD", &asked.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let body = asked.body.clone();
    let writing = std::thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output().unwrap().stdout;
    let _ = writing.join().unwrap();
    let end = output.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(output[..end].to_vec()).unwrap();
    let (status, headers): (Vec<&str>, Vec<&str>) =
        head.lines().partition(|it| it.starts_with("Status: "));
    let status = status.first().map_or("200 OK", |it| &it["Status: ".len()..]);
    response(status, &headers, &output[end + 4..])
}
