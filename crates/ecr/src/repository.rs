//! Repositories that are made when they are missing.

use crate::EcrHost;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt};
use strake_registry::KeychainError;

/// How a repository is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// A tag that was written stays.
    pub immutable: bool,
    /// Images are scanned when they come.
    pub scan: bool,
    /// Tags of the repository as an AWS resource.
    pub tags: BTreeMap<String, String>,
    /// The text of a lifecycle policy.
    pub lifecycle: Option<String>,
    /// `AES256`, `KMS` or the ARN of a key.
    pub encryption: Option<String>,
}

/// An option that is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOption(pub String);

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl CreateOptions {
    /// Reads `immutable,scan,tag.team=web,encryption=KMS,lifecycle=FILE`; `read` gives a file's text.
    pub fn parse(
        text: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<CreateOptions, InvalidOption> {
        let mut options = CreateOptions::default();
        for part in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let (key, value) = part.split_once('=').map_or((part, None), |it| (it.0, Some(it.1)));
            let yes = |value: Option<&str>| match value {
                None | Some("true") => Ok(true),
                Some("false") => Ok(false),
                Some(_) => Err(InvalidOption(format!("`{part}` is neither true nor false"))),
            };
            let named = |value: Option<&str>| {
                let value = value.filter(|it| !it.is_empty()).map(str::to_owned);
                value.ok_or_else(|| InvalidOption(format!("`{part}` has no value")))
            };
            match key {
                "immutable" => options.immutable = yes(value)?,
                "scan" => options.scan = yes(value)?,
                "encryption" => options.encryption = Some(named(value)?),
                "lifecycle" => {
                    let text = read(&named(value)?).map_err(InvalidOption)?;
                    if !serde_json::from_str::<Value>(&text).is_ok_and(|it| it["rules"].is_array())
                    {
                        let why = format!("`{part}`: the policy is JSON with a list of `rules`");
                        return Err(InvalidOption(why));
                    }
                    options.lifecycle = Some(text);
                }
                key => match key.strip_prefix("tag.").filter(|it| !it.is_empty()) {
                    Some(name) => {
                        options.tags.insert(name.to_owned(), value.unwrap_or_default().to_owned());
                    }
                    None => {
                        return Err(InvalidOption(format!(
                            "`{key}` is none of immutable, scan, encryption=, lifecycle= and \
                             tag.NAME="
                        )));
                    }
                },
            }
        }
        Ok(options)
    }
}

/// The calls that make a repository. Amazon ECR API reference, *CreateRepository*, *PutLifecyclePolicy*.
pub(crate) fn requests(
    host: &EcrHost,
    repository: &str,
    options: &CreateOptions,
) -> Result<Vec<(&'static str, Value)>, KeychainError> {
    let CreateOptions { immutable, scan, tags, lifecycle, encryption } = options;
    let tags: Vec<Value> =
        tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    let EcrHost::Private { account, .. } = host else {
        if *immutable || *scan || lifecycle.is_some() || encryption.is_some() {
            return Err(KeychainError::Service {
                service: "Amazon ECR",
                why: "public repositories have tags, and no other options".to_owned(),
                hint: Some("leave out immutable, scan, lifecycle and encryption".to_owned()),
            });
        }
        // The first part is the alias of the registry.
        let name = repository.split_once('/').map_or(repository, |it| it.1);
        let mut create = json!({ "repositoryName": name });
        if !tags.is_empty() {
            create["tags"] = tags.into();
        }
        return Ok(vec![("CreateRepository", create)]);
    };
    let mut create = json!({
        "registryId": account,
        "repositoryName": repository,
        "imageTagMutability": if *immutable { "IMMUTABLE" } else { "MUTABLE" },
        "imageScanningConfiguration": { "scanOnPush": scan },
    });
    if !tags.is_empty() {
        create["tags"] = tags.into();
    }
    if let Some(encryption) = encryption {
        create["encryptionConfiguration"] = match encryption.as_str() {
            kind @ ("AES256" | "KMS") => json!({ "encryptionType": kind }),
            key => json!({ "encryptionType": "KMS", "kmsKey": key }),
        };
    }
    let mut calls = vec![("CreateRepository", create)];
    if let Some(text) = lifecycle {
        let put = json!({
            "registryId": account,
            "repositoryName": repository,
            "lifecyclePolicyText": text,
        });
        calls.push(("PutLifecyclePolicy", put));
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::{CreateOptions, requests};
    use crate::recognise;

    fn read(path: &str) -> Result<String, String> {
        match path {
            "policy.json" => Ok(r#"{"rules":[]}"#.to_owned()),
            "broken.json" => Ok("{".to_owned()),
            _ => Err(format!("there is no {path}")),
        }
    }

    #[test]
    fn options_as_people_write_them() {
        let text =
            "immutable,scan=true,tag.team=web,tag.empty=,lifecycle=policy.json,encryption=KMS";
        let options = CreateOptions::parse(text, &read).unwrap();
        assert!(options.immutable && options.scan && options.lifecycle.is_some());
        assert_eq!(options.tags["team"], "web");
        let host = recognise("123456789012.dkr.ecr.eu-west-1.amazonaws.com").unwrap();
        let calls = requests(&host, "a/b", &options).unwrap();
        assert_eq!(calls[0].1["imageTagMutability"], "IMMUTABLE");
        assert_eq!(calls[0].1["registryId"], "123456789012");
        assert_eq!(calls[1].0, "PutLifecyclePolicy");
        let public = recognise("public.ecr.aws").unwrap();
        assert!(requests(&public, "x/a", &options).is_err());
        let plain = requests(&public, "x/a", &CreateOptions::default()).unwrap();
        assert_eq!(plain[0].1["repositoryName"], "a");
        for wrong in [
            "mutable",
            "scan=maybe",
            "lifecycle",
            "lifecycle=absent",
            "lifecycle=broken.json",
            "tag.",
        ] {
            assert!(CreateOptions::parse(wrong, &read).is_err(), "{wrong}");
        }
    }
}
