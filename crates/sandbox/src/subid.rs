//! /etc/passwd and /etc/subuid, read without the C library (a static one cannot look users up).

/// Returns the name of a user by number.
pub(crate) fn user_name(passwd: &[u8], uid: u32) -> Option<String> {
    lines(passwd).find_map(|fields| {
        let [name, _, id, ..] = fields.as_slice() else { return None };
        (id.parse() == Ok(uid)).then(|| name.clone())
    })
}

/// Returns the first range granted to a user that holds at least 65535 ids.
pub(crate) fn range(granted: &[u8], name: Option<&str>, uid: u32) -> Option<(u32, u32)> {
    let uid = uid.to_string();
    lines(granted).find_map(|fields| {
        let [who, start, count] = fields.as_slice() else { return None };
        let ours = *who == uid || Some(who.as_str()) == name;
        let (start, count) = (start.parse().ok()?, count.parse().ok()?);
        (ours && count >= 65535).then_some((start, count))
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = Vec<String>> {
    file.split(|byte| *byte == b'\n')
        .map(|line| String::from_utf8_lossy(line).trim().split(':').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::{range, user_name};

    #[test]
    fn a_user_has_the_first_large_enough_range_by_name_or_number() {
        let granted = b"other:1:65536\nbob:100000:1000\nbob:200000:65536\n1001:300000:65536\n";
        assert_eq!(range(granted, Some("bob"), 1000), Some((200_000, 65536)));
        assert_eq!(range(granted, None, 1001), Some((300_000, 65536)));
        assert_eq!(range(granted, Some("eve"), 7), None);
    }

    #[test]
    fn a_user_is_named_by_number() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("bob"));
        assert_eq!(user_name(passwd, 5), None);
    }
}
