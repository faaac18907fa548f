//! `--chmod`: octal, or words as chmod(1) takes them.

use super::CopyError;

/// A mode change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ModeChange {
    /// The mode itself.
    Set(u32),
    /// Clauses, applied in order.
    Words(Vec<Clause>),
}

/// `go-w`: for whom, how, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    who: u32,
    action: u8,
    permissions: Vec<u8>,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;

impl ModeChange {
    /// Reads what was written.
    pub(super) fn parse(written: &str) -> Result<ModeChange, CopyError> {
        let bad = || CopyError::BadMode { written: written.to_owned() };
        if written.starts_with(|first: char| first.is_ascii_digit()) {
            let mode = u32::from_str_radix(written, 8).map_err(|_| bad())?;
            return if mode <= 0o7777 { Ok(ModeChange::Set(mode)) } else { Err(bad()) };
        }
        let mut clauses = Vec::new();
        for clause in written.split(',') {
            clauses_of(clause.as_bytes(), &mut clauses).ok_or_else(bad)?;
        }
        Ok(ModeChange::Words(clauses))
    }

    /// The mode after the change.
    pub(super) fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            ModeChange::Set(mode) => *mode,
            ModeChange::Words(clauses) => {
                clauses.iter().fold(mode, |mode, clause| clause.apply(mode, directory))
            }
        }
    }
}

fn clauses_of(clause: &[u8], clauses: &mut Vec<Clause>) -> Option<()> {
    let names = clause.iter().take_while(|byte| b"ugoa".contains(byte)).count();
    let who = clause[..names].iter().fold(0, |who, byte| {
        who | match byte {
            b'u' => USER,
            b'g' => GROUP,
            b'o' => OTHER,
            _ => USER | GROUP | OTHER,
        }
    });
    let who = if names == 0 { USER | GROUP | OTHER } else { who };
    let mut rest = &clause[names..];
    if rest.is_empty() {
        return None;
    }
    while let Some((&action, after)) = rest.split_first() {
        let length = after.iter().take_while(|byte| !b"+-=".contains(byte)).count();
        let permissions = after[..length].to_vec();
        let copies = permissions.len() == 1 && b"ugo".contains(&permissions[0]);
        if !b"+-=".contains(&action)
            || !(copies || permissions.iter().all(|byte| b"rwxXst".contains(byte)))
        {
            return None;
        }
        clauses.push(Clause { who, action, permissions });
        rest = &after[length..];
    }
    Some(())
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let bits = self.permissions.iter().fold(0, |bits, permission| {
            bits | match permission {
                b'r' => 0o444,
                b'w' => 0o222,
                b'x' => 0o111,
                b'X' if directory || mode & 0o111 != 0 => 0o111,
                b'X' => 0,
                b's' => 0o6000,
                b't' => 0o1000,
                b'u' => (mode >> 6 & 7) * 0o111,
                b'g' => (mode >> 3 & 7) * 0o111,
                _ => (mode & 7) * 0o111,
            }
        }) & self.who;
        match self.action {
            b'+' => mode | bits,
            b'-' => mode & !bits,
            _ => (mode & !self.who) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ModeChange;

    #[test]
    fn changes_modes_as_chmod_does() {
        for (written, before, directory, after) in [
            ("0755", 0o600, false, 0o755),
            ("4755", 0o600, false, 0o4755),
            ("7", 0o4600, false, 0o7),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o755, false, 0o700),
            ("g=u", 0o740, false, 0o770),
            ("u+s", 0o755, false, 0o4755),
            ("o=", 0o757, false, 0o750),
            ("u+x-w", 0o644, false, 0o544),
        ] {
            let change = ModeChange::parse(written).unwrap();
            assert_eq!(change.apply(before, directory), after, "{written} on {before:o}");
        }
        for written in ["", "9", "17777", "u", "x", "u+q", "u~x", "a+x,", "0o755"] {
            assert!(ModeChange::parse(written).is_err(), "{written}");
        }
    }
}
