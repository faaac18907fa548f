//! What the AWS SDK sends its requests with: the same TLS, certificates and proxies as the rest of strake.

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use reqwest::{Method, Url};
use std::{fmt, net::IpAddr, time::Duration};
use strake_registry::{WebOptions, is_loopback, web_client};

/// No answer of these services is larger.
const LIMIT: usize = 4 << 20;

/// Makes connections as the options say.
#[derive(Clone)]
pub(crate) struct Web(pub(crate) WebOptions);

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

impl HttpClient for Web {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let mut web = self.0.clone();
        web.connect = settings.connect_timeout().unwrap_or(web.connect);
        let read = settings.read_timeout().unwrap_or(Duration::from_secs(30));
        SharedHttpConnector::new(Connector { web: Web(web), read })
    }
}

#[derive(Clone, Debug)]
struct Connector {
    web: Web,
    read: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move { this.send(request).await })
    }
}

impl Connector {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let user = |it: &str| ConnectorError::user(it.to_owned().into());
        let url = Url::parse(request.uri()).map_err(|_| user("the address is not a URL"))?;
        let method = request.method().parse::<Method>().map_err(|_| user("no such method"))?;
        let client = self.web.client(&url).map_err(|it| ConnectorError::user(it.into()))?;
        let mut sent = client.request(method, url);
        for (name, value) in request.headers() {
            sent = sent.header(name, value);
        }
        let body = request.body().bytes().ok_or_else(|| user("the body is a stream"))?;
        let answer = self.answer(sent.body(body.to_vec()));
        match tokio::time::timeout(self.read, answer).await {
            Ok(answered) => answered,
            Err(late) => Err(ConnectorError::timeout(late.into())),
        }
    }

    async fn answer(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<HttpResponse, ConnectorError> {
        let mut answer = request.send().await.map_err(failed)?;
        let status = StatusCode::try_from(answer.status().as_u16())
            .map_err(|it| ConnectorError::other(it.into(), None))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LIMIT {
                return Err(ConnectorError::other("the answer is too large".into(), None));
            }
        }
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                let header = (name.as_str().to_owned(), value.to_owned());
                let _ = response.headers_mut().try_append(header.0, header.1);
            }
        }
        Ok(response)
    }
}

fn failed(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() || error.is_connect() {
        // An address that nobody listens at is, to the chain, a service that is not there.
        ConnectorError::io(error.into())
    } else {
        ConnectorError::other(error.into(), None)
    }
}

impl Web {
    /// A client for `url`. Metadata services of machines and containers are reached directly.
    pub(crate) fn client(&self, url: &Url) -> Result<reqwest::Client, strake_registry::Error> {
        let host = url.host_str().unwrap_or_default();
        web_client(&self.0, is_loopback(url) || is_metadata(host))
    }
}

/// Link-local addresses, and the one that EC2 has for IPv6.
fn is_metadata(host: &str) -> bool {
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.segments()[0] == 0xfd00,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_metadata;

    #[test]
    fn metadata_services_are_reached_directly() {
        for host in ["169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]"] {
            assert!(is_metadata(host), "{host}");
        }
        for host in ["sts.amazonaws.com", "10.0.0.1", "[2600::1]"] {
            assert!(!is_metadata(host), "{host}");
        }
    }
}
