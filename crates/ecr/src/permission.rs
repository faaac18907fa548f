//! Which permission is missing, by what the registry says and was asked.

use crate::recognise;
use strake_registry::Error;

/// What to do about a failure of a registry that is Amazon's.
pub fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Denied { registry, request, message, .. } => {
            let host = recognise(registry)?;
            if message.as_deref().is_some_and(|it| it.contains("token has expired")) {
                return Some(format!(
                    "give this runner a role, which is used by itself; or renew the login: `aws ecr \
                     get-login-password | strake login -u AWS --password-stdin {registry}`"
                ));
            }
            let told = message.as_deref().and_then(missing);
            let (action, resource) = match told {
                Some(told) => told,
                None => {
                    let (action, repository) = needed(request)?;
                    (action.to_owned(), host.arn(&repository))
                }
            };
            Some(format!("allow {action} on {resource} to this role"))
        }
        Error::RepositoryMissing { registry, .. } => {
            recognise(registry)?;
            Some("make it with `--ecr-create`, or in the console".to_owned())
        }
        _ => None,
    }
}

/// The action and the resource in `.. is not authorized to perform: ACTION on resource: ARN ..`.
pub(crate) fn missing(message: &str) -> Option<(String, String)> {
    let after = message.split_once("not authorized to perform:")?.1.trim_start();
    let (action, after) = after.split_once(char::is_whitespace)?;
    let resource = after.split_once("on resource:")?.1.split_whitespace().next()?;
    let resource = if resource == "*" { "all resources (*)" } else { resource };
    Some((action.to_owned(), resource.to_owned()))
}

/// What a request needs, and of which repository. Amazon ECR user guide, *IAM permissions for pushing*.
fn needed(request: &str) -> Option<(&'static str, String)> {
    let (method, url) = request.split_once(' ')?;
    let path = url.split_once("/v2/")?.1;
    let of = |part: &str| path.split_once(part).map(|it| it.0.to_owned());
    if let Some(repository) = of("/blobs/uploads") {
        let action = match method {
            "POST" => "ecr:InitiateLayerUpload",
            _ => "ecr:UploadLayerPart and ecr:CompleteLayerUpload",
        };
        return Some((action, repository));
    }
    if let Some(repository) = of("/blobs/") {
        let action = match method {
            "HEAD" => "ecr:BatchCheckLayerAvailability",
            _ => "ecr:GetDownloadUrlForLayer",
        };
        return Some((action, repository));
    }
    let action = if method == "PUT" { "ecr:PutImage" } else { "ecr:BatchGetImage" };
    of("/manifests/").map(|it| (action, it))
}

#[cfg(test)]
mod tests {
    use super::{hint, missing};
    use strake_registry::Error;

    const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    fn denied(request: &str, message: Option<&str>) -> Option<String> {
        hint(&Error::Denied {
            registry: HOST.to_owned(),
            request: request.replace("HOST", HOST),
            signed_in: true,
            message: message.map(str::to_owned),
        })
    }

    #[test]
    fn the_missing_permission_is_named() {
        let said = "User: arn:aws:sts::123456789012:assumed-role/ci/x is not authorized to perform: \
            ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-west-1:123456789012:repository/a/b \
            because no identity-based policy allows the ecr:InitiateLayerUpload action";
        let told = denied("POST https://HOST/v2/a/b/blobs/uploads/", Some(said)).unwrap();
        let arn = "arn:aws:ecr:eu-west-1:123456789012:repository/a/b";
        assert_eq!(told, format!("allow ecr:InitiateLayerUpload on {arn} to this role"));
        for (request, action) in [
            ("POST https://HOST/v2/a/b/blobs/uploads/", "ecr:InitiateLayerUpload"),
            ("HEAD https://HOST/v2/a/b/blobs/sha256:0", "ecr:BatchCheckLayerAvailability"),
            ("GET https://HOST/v2/a/b/blobs/sha256:0", "ecr:GetDownloadUrlForLayer"),
            ("GET https://HOST/v2/a/b/manifests/1", "ecr:BatchGetImage"),
            ("PUT https://HOST/v2/a/b/manifests/1", "ecr:PutImage"),
        ] {
            let told = denied(request, None).unwrap();
            assert_eq!(told, format!("allow {action} on {arn} to this role"));
        }
        assert_eq!(missing("something else"), None);
    }
}
