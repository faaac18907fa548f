//! Connections to servers that are no registries, with the same TLS, proxies and words for failures.

use crate::{Error, Proxies, cause::cause, client, tls};
use reqwest::{Url, redirect};
use std::time::Duration;

/// How to connect.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// PEM bundles of certificate authorities, beside the compiled-in ones.
    pub ca: Vec<Vec<u8>>,
    /// Proxies.
    pub proxies: Proxies,
    /// How the client introduces itself.
    pub user_agent: String,
    /// How long to wait for a connection.
    pub connect: Duration,
}

/// Whether a server is on this machine: it is reached without proxies.
pub fn is_loopback(url: &Url) -> bool {
    client::is_loopback(url.host_str().unwrap_or_default())
}

/// Connections, `direct` ones without proxies. Redirects are not followed and bodies are not
/// decompressed.
pub fn web_client(options: &WebOptions, direct: bool) -> Result<reqwest::Client, Error> {
    let WebOptions { ca, proxies, user_agent, connect } = options;
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(&tls::roots(ca)?, false, &["h2", "http/1.1"]))
        .user_agent(user_agent)
        .redirect(redirect::Policy::none())
        .connect_timeout(*connect)
        .tcp_nodelay(true);
    proxies.apply(builder, direct)?.build().map_err(bad_connection)
}

/// What went wrong on the way to or from `host`, without the URL and its query.
pub fn web_error(host: &str, error: reqwest::Error) -> Error {
    cause(host, error)
}

fn bad_connection(error: reqwest::Error) -> Error {
    Error::BadOption { what: "connection", why: error.without_url().to_string() }
}
