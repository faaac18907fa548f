//! A file that appears under its name when it is complete.

use crate::ExportError;
use fs_err::{self as fs, File, OpenOptions};
use std::{
    ffi::OsString,
    io::{self, BufWriter, Read, Write},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Writes `dest` by way of a file without a name, which takes that name once everything is on disk. So
/// nothing is left of an export that was killed.
///
/// Where the file system knows no files without a name, a hidden neighbour takes its place, whose name is
/// always the same, so that one left by a killed process is used up by the next export; two exports to
/// one name take turns. Pipes and devices are written to directly. A file that holds these bytes already
/// is left as it is: to compare is quicker than to bring to disk.
pub fn write_file(
    dest: &Path,
    write: impl Fn(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let special = fs::metadata(dest).is_ok_and(|it| !it.is_file() && !it.is_dir());
    if special {
        let mut sink = BufWriter::new(OpenOptions::new().write(true).open(dest)?);
        write(&mut sink)?;
        return Ok(sink.flush()?);
    }
    if dest.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            format!("{} is a directory; a file is to be written", dest.display()),
        )
        .into());
    }
    // A symlink stays, and what it points at is replaced.
    let dest = &fs::canonicalize(dest).unwrap_or_else(|_| dest.to_owned());
    if holds(dest, &write) {
        return Ok(());
    }
    let temporary = neighbour(dest);
    if let Some(file) = nameless(dest)? {
        fill(&file, write)?;
        return Ok(name(&file, dest, &temporary)?);
    }
    let file = claim(&temporary)?;
    let written = fill(&file, write).and_then(|()| Ok(fs::rename(&temporary, dest)?));
    if written.is_err() {
        // The first error is the one to tell.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Whether the file is what `write` writes. Whatever goes wrong shows when it is written.
fn holds(dest: &Path, write: impl Fn(&mut dyn Write) -> Result<(), ExportError>) -> bool {
    let Ok(file) = File::open(dest) else { return false };
    let mut expected = Expected { file, buffer: vec![0; 256 << 10] };
    write(&mut expected).is_ok() && matches!(expected.file.read(&mut [0]), Ok(0))
}

/// A file that is compared with what is written to it.
struct Expected {
    file: File,
    buffer: Vec<u8>,
}

impl Write for Expected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.buffer.len());
        self.file.read_exact(&mut self.buffer[..length])?;
        if self.buffer[..length] != bytes[..length] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file without a name in the folder of `dest`, where there are such.
fn nameless(dest: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags, open};
    let folder = dest.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = Mode::from_raw_mode(0o666);
    if !Path::new("/proc/self/fd").exists() {
        return Ok(None);
    }
    match open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode) {
        Ok(file) => Ok(Some(File::from_parts(file.into(), dest))),
        // What the system says differs by file system; opening by name tells of real trouble.
        Err(_) => Ok(None),
    }
}

/// Gives the file its name, in place of a file that has it. Nothing can be linked over another file, so
/// the neighbour's name stands between for a moment. The folder is locked meanwhile: a file that lost its
/// only name can never get one again, so no other export may take this one's away.
fn name(file: &File, dest: &Path, neighbour: &Path) -> io::Result<()> {
    use rustix::{
        fs::{AtFlags, CWD, FlockOperation, flock, linkat},
        io::Errno,
    };
    let folder = dest.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder)?;
    // Where the file system has no locks, exports to one name at one time may fail, with an error.
    let _ = flock(&folder, FlockOperation::LockExclusive);
    // One that a killed process left.
    drop(fs::remove_file(neighbour));
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |to: &Path| linkat(CWD, &own, CWD, to, AtFlags::SYMLINK_FOLLOW);
    match link(dest) {
        Err(Errno::EXIST) => {}
        done => return Ok(done?),
    }
    link(neighbour)?;
    fs::rename(neighbour, dest)
}

/// `.NAME.strake.tmp` in the same folder.
fn neighbour(dest: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(dest.file_name().unwrap_or_default());
    name.push(".strake.tmp");
    dest.with_file_name(name)
}

/// Opens and locks the neighbour. Whoever held the lock before may have renamed or removed it: then
/// the lock is on a file without that name, and the next try makes a new one.
fn claim(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        file.file().lock()?;
        let ours = file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => {
                file.set_len(0)?;
                return Ok(file);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn fill(
    file: &File,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut sink = BufWriter::with_capacity(1 << 20, file);
    write(&mut sink)?;
    sink.flush()?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::{neighbour, write_file};
    use crate::ExportError;
    use std::{io, path::Path};

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs_err::read_dir(dir)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out.tar");
        write_file(&dest, |it| Ok(it.write_all(b"first")?)).unwrap();
        let failed = write_file(&dest, |it| {
            it.write_all(b"half")?;
            Err(ExportError::Io(io::ErrorKind::StorageFull.into()))
        });
        assert!(failed.is_err());
        assert_eq!(fs_err::read(&dest).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["out.tar"]);
    }

    #[test]
    fn a_file_that_holds_the_bytes_is_left_as_it_is() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out.tar");
        let inode = || fs_err::metadata(&dest).unwrap().ino();
        let write = |text: &'static [u8]| write_file(&dest, |it| Ok(it.write_all(text)?)).unwrap();
        write(b"the bytes");
        let first = inode();
        write(b"the bytes");
        assert_eq!(inode(), first);
        for other in [&b"the byte"[..], b"the bytes and more", b"other bytes", b""] {
            fs_err::write(&dest, b"the bytes").unwrap();
            write(other);
            assert_eq!(fs_err::read(&dest).unwrap(), other);
        }
    }

    #[test]
    fn what_a_killed_export_left_is_used_up() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out.tar");
        fs_err::write(neighbour(&dest), b"half of something longer").unwrap();
        write_file(&dest, |it| Ok(it.write_all(b"whole")?)).unwrap();
        assert_eq!(fs_err::read(&dest).unwrap(), b"whole");
        assert_eq!(names(dir.path()), ["out.tar"]);
    }

    #[test]
    fn exports_to_one_name_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let dest = &dir.path().join("out.tar");
        std::thread::scope(|scope| {
            for byte in b'a'..b'i' {
                scope.spawn(move || {
                    write_file(dest, |it| {
                        (0..1000).try_for_each(|_| Ok(it.write_all(&[byte; 1000])?))
                    })
                    .unwrap();
                });
            }
        });
        let bytes = fs_err::read(dest).unwrap();
        assert_eq!(bytes.len(), 1_000_000);
        assert!(bytes.iter().all(|it| *it == bytes[0]));
        assert_eq!(names(dir.path()), ["out.tar"]);
    }

    #[test]
    fn a_symlink_stays_and_a_device_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (link, dest) = (dir.path().join("link"), dir.path().join("real"));
        fs_err::write(&dest, b"").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        write_file(&link, |it| Ok(it.write_all(b"x")?)).unwrap();
        assert_eq!(fs_err::read(&dest).unwrap(), b"x");
        assert!(link.is_symlink());
        write_file(Path::new("/dev/null"), |it| Ok(it.write_all(b"x")?)).unwrap();
        assert!(write_file(dir.path(), |_| Ok(())).is_err());
    }
}
