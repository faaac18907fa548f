//! Two texts as a unified diff.

/// Lines around a change.
const AROUND: usize = 3;

/// What `diff -u` would say; nothing where the texts are equal.
pub(super) fn unified(name: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let marked = marks(&a, &b);
    let mut text = format!("--- {name}\n+++ {name}\n");
    let changed: Vec<usize> = (0..marked.len()).filter(|it| marked[*it].0 != ' ').collect();
    let mut at = 0;
    while at < changed.len() {
        let first = changed[at].saturating_sub(AROUND);
        let mut last = changed[at];
        while at < changed.len() && changed[at] <= last + 2 * AROUND {
            last = changed[at];
            at += 1;
        }
        let end = (last + AROUND + 1).min(marked.len());
        let count =
            |range: &[(char, &str)], not: char| range.iter().filter(|it| it.0 != not).count();
        let (above, hunk) = (&marked[..first], &marked[first..end]);
        text.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            count(above, '+') + 1,
            count(hunk, '+'),
            count(above, '-') + 1,
            count(hunk, '-'),
        ));
        for (mark, line) in hunk {
            text.push_str(&format!("{mark}{line}\n"));
        }
    }
    text
}

/// Each line with what becomes of it.
fn marks<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut longest = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = match a[i] == b[j] {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            found.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && longest[i + 1][j] >= longest[i][j + 1] {
            found.push(('-', a[i]));
            i += 1;
        } else {
            found.push(('+', b[j]));
            j += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn a_changed_line() {
        assert_eq!(
            unified("f", "a\nb\nc\n", "a\nx\nc\n"),
            "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
        );
        assert_eq!(unified("f", "a\n", "a\n"), "");
    }
}
