//! One signed POST to ECR's control plane, with credentials of the AWS SDK's chain.

use crate::{EcrHost, EcrOptions, connector::Web};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use reqwest::{Url, header::DATE};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strake_registry::{KeychainError, Retry};

/// What an answer may have.
const LIMIT: usize = 1 << 20;
/// The chain asks several services; none of them takes long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, and what time the service thinks it is.
pub(crate) struct Answer {
    pub(crate) body: Value,
    pub(crate) date: Option<SystemTime>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failed {
    /// The chain has nothing for us.
    NoCredentials,
    /// The service's own code and words, or what went wrong on the way.
    Said { code: String, message: String },
    /// The same, where it may be another time; `down` where nobody was reached at all.
    Passing { code: String, message: String, down: bool },
    /// The chain broke.
    Chain(String),
}

impl Failed {
    fn way(message: impl ToString) -> Failed {
        Failed::Said { code: String::new(), message: message.to_string() }
    }

    /// The error, about `host`.
    pub(crate) fn told(self, host: &EcrHost, action: &str) -> KeychainError {
        let service = "Amazon ECR";
        let (why, hint) = match self {
            Failed::NoCredentials => (
                "there are no AWS credentials: the environment, the profile, web identity, the \
                 container's and the machine's role were asked"
                    .to_owned(),
                Some(
                    "give the runner a role, set AWS_PROFILE or AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY, or put a login into docker's config.json"
                        .to_owned(),
                ),
            ),
            Failed::Chain(why) => {
                let hint = match why.contains("SSO") || why.contains("sso") {
                    true => "sign in again with `aws sso login`",
                    false => "check this runner's role or profile (AWS_PROFILE)",
                };
                (format!("AWS credentials: {why}"), Some(hint.to_owned()))
            }
            Failed::Said { code, message } | Failed::Passing { code, message, .. } => {
                let hint = advice(&code, &message, host, action);
                (said(action, &code, &message), hint)
            }
        };
        KeychainError::Service { service, why, hint }
    }
}

fn advice(code: &str, message: &str, host: &EcrHost, action: &str) -> Option<String> {
    let region = host.region();
    Some(match code {
        "AccessDeniedException" | "AccessDenied" => match crate::permission::missing(message) {
            Some((action, resource)) => format!("allow {action} on {resource} to this role"),
            None => format!("allow {}:{action} to this role", host.service()),
        },
        "UnrecognizedClientException" | "InvalidClientTokenId" => {
            format!(
                "the access key is not known in {region}: check it, and that the region is enabled"
            )
        }
        "ExpiredTokenException" | "ExpiredToken" => {
            "the session has expired: renew it, e.g. with `aws sso login`".to_owned()
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "check the secret key and this machine's clock".to_owned()
        }
        _ => return None,
    })
}

/// The chain for one region, kept: profiles are read once.
pub(crate) struct Api {
    config: SdkConfig,
    web: Web,
    options: EcrOptions,
}

impl Api {
    pub(crate) async fn new(region: &str, options: &EcrOptions) -> Api {
        let web = Web(options.web.clone());
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(web.clone())
            .region(Region::new(region.to_owned()));
        Api { config: loader.load().await, web, options: options.clone() }
    }

    /// Calls `action` with a JSON `body`.
    pub(crate) async fn call(
        &self,
        host: &EcrHost,
        action: &str,
        body: &Value,
    ) -> Result<Answer, Failed> {
        let mut attempt = 1;
        loop {
            let asked = tokio::time::timeout(PATIENCE, self.ask(host, action, body)).await;
            let answer = asked.unwrap_or_else(|_| {
                Err(Failed::way(format!("no answer in {} seconds", PATIENCE.as_secs())))
            });
            let Err(Failed::Passing { code, message, down }) = &answer else { return answer };
            // As with registries: one that is down is reported soon.
            let pause = self.options.retries.pause(attempt, action);
            let Some(wait) = pause.filter(|_| !down || attempt < 3) else { return answer };
            let cause = format!("Amazon ECR: {}", said(action, code, message));
            self.options.on_retry.iter().for_each(|it| {
                it(&Retry { attempt, wait, cause: cause.clone() });
            });
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn ask(&self, host: &EcrHost, action: &str, body: &Value) -> Result<Answer, Failed> {
        let credentials = self.credentials().await?;
        let url = self.endpoint(host)?;
        let target = format!("{}.{action}", host.target());
        let body = body.to_string();
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let signature = self.sign(&credentials, host, &url, &headers, body.as_bytes())?;
        let client = self.web.client(&url).map_err(Failed::way)?;
        let mut request = client.post(url.clone()).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signature {
            request = request.header(name, value);
        }
        let name = url.host_str().unwrap_or_default().to_owned();
        let broken = |it| match strake_registry::web_error(&name, it) {
            it @ strake_registry::Error::Unreachable { connecting: down, .. } => {
                Failed::Passing { code: String::new(), message: it.to_string(), down }
            }
            it => Failed::way(it),
        };
        let mut answer = request.send().await.map_err(broken)?;
        let date = answer.headers().get(DATE).and_then(|it| it.to_str().ok()).and_then(date);
        let good = answer.status().is_success();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LIMIT {
                return Err(Failed::way("the answer is too large"));
            }
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if good {
            return Ok(Answer { body, date });
        }
        Err(refused(answer.status().as_u16(), &body))
    }

    async fn credentials(&self) -> Result<Credentials, Failed> {
        let provider = self.config.credentials_provider().ok_or(Failed::NoCredentials)?;
        provider.provide_credentials().await.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) => Failed::NoCredentials,
            error => Failed::Chain(chain(&error)),
        })
    }

    /// What settings say, for the service before for all; else Amazon's own.
    fn endpoint(&self, host: &EcrHost) -> Result<Url, Failed> {
        let key = aws_types::service_config::ServiceConfigKey::builder()
            .service_id(host.setting())
            .profile("endpoint_url")
            .env("AWS_ENDPOINT_URL")
            .build();
        let own =
            self.config.service_config().zip(key.ok()).and_then(|(it, key)| it.load_config(key));
        let set = own.or_else(|| self.config.endpoint_url().map(str::to_owned));
        let text = set.unwrap_or_else(|| host.endpoint());
        Url::parse(&text).map_err(|_| Failed::way(format!("the endpoint `{text}` is not a URL")))
    }

    /// The headers that a signature adds. AWS Signature Version 4.
    fn sign(
        &self,
        credentials: &Credentials,
        host: &EcrHost,
        url: &Url,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<Vec<(String, String)>, Failed> {
        let identity = credentials.clone().into();
        let seconds = u64::try_from((self.options.clock)()).unwrap_or_default();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(host.region())
            .name(host.service())
            .time(UNIX_EPOCH + Duration::from_secs(seconds))
            .settings(SigningSettings::default())
            .build()
            .map_err(Failed::way)?
            .into();
        let headers = headers.iter().copied();
        let request =
            SignableRequest::new("POST", url.as_str(), headers, SignableBody::Bytes(body));
        let request = request.map_err(Failed::way)?;
        let (signature, _) = sign(request, &params).map_err(Failed::way)?.into_parts();
        Ok(signature.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// The service's own words. AWS JSON 1.1 protocol, *Operation error serialization*.
fn refused(status: u16, body: &Value) -> Failed {
    let text = |names: [&str; 2]| {
        let found = names.iter().find_map(|it| body[*it].as_str()).unwrap_or_default();
        found.chars().filter(|it| !it.is_control()).take(600).collect::<String>()
    };
    let code = text(["__type", "code"]);
    let code = code.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default().to_owned();
    let message = text(["message", "Message"]);
    let message = match code.is_empty() {
        true => format!("status {status} {message}").trim_end().to_owned(),
        false => message,
    };
    // AWS general reference, *Error retries*: a service that is busy or broken is asked again.
    let busy = ["Throttl", "TooManyRequests", "RequestLimitExceeded", "ServerException"];
    if matches!(status, 429 | 500 | 502..=504) || busy.iter().any(|it| code.contains(it)) {
        return Failed::Passing { code, message, down: false };
    }
    Failed::Said { code, message }
}

/// `Sat, 21 Nov 2026 08:00:00 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    use aws_smithy_types::date_time::{DateTime, Format};
    let parsed = DateTime::from_str(text, Format::HttpDate).ok()?;
    SystemTime::try_from(parsed).ok()
}

/// What the service said, for people: either part may be empty.
fn said(action: &str, code: &str, message: &str) -> String {
    let separator = if code.is_empty() || message.is_empty() { "" } else { ": " };
    format!("{action}: {code}{separator}{message}")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text.chars().filter(|it| !it.is_control()).take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::{Failed, refused};
    use crate::recognise;
    use serde_json::json;

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for (status, body, passes) in [
            (400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }), true),
            (400, json!({ "__type": "com.amazonaws.ecr#ServerException" }), true),
            (429, json!({}), true),
            (500, json!(null), true),
            (503, json!({ "message": "try again" }), true),
            (400, json!({ "__type": "AccessDeniedException", "message": "no" }), false),
            (400, json!({ "__type": "RepositoryAlreadyExistsException" }), false),
            (403, json!({ "Message": "no" }), false),
            (501, json!({}), false),
        ] {
            let failed = refused(status, &body);
            assert_eq!(matches!(failed, Failed::Passing { down: false, .. }), passes, "{body}");
        }
    }

    #[test]
    fn something_can_be_done() {
        let host = recognise("123456789012.dkr.ecr.eu-west-1.amazonaws.com").unwrap();
        let chain = |why: &str| Failed::Chain(why.to_owned());
        for (failed, hint) in [
            (chain("the SSO session has expired"), "aws sso login"),
            (chain("IMDS is disabled"), "AWS_PROFILE"),
            (Failed::NoCredentials, "AWS_ACCESS_KEY_ID"),
            (refused(400, &json!({ "__type": "ExpiredTokenException" })), "aws sso login"),
            (refused(400, &json!({ "__type": "AccessDeniedException" })), "allow ecr:Get"),
            (refused(400, &json!({ "__type": "UnrecognizedClientException" })), "eu-west-1"),
        ] {
            let told = failed.told(&host, "GetAuthorizationToken").hint().unwrap();
            assert!(told.contains(hint), "{told}");
        }
    }
}
