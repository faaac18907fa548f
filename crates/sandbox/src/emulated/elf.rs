//! What is to be known of a program before it can be executed. See elf(5).

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

/// A part of the file that is to be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) in_file: u64,
    pub(super) in_memory: u64,
    /// As in PF_X, PF_W and PF_R.
    pub(super) flags: u32,
}

impl Segment {
    /// Whether a file can have it and memory can hold it.
    fn is_possible(&self) -> bool {
        let below =
            |start: u64, length: u64| start.checked_add(length).is_some_and(|end| end < 1 << 47);
        below(self.address, self.in_memory)
            && below(self.offset, self.in_file)
            && self.in_file <= self.in_memory
            && self.offset % PAGE == self.address % PAGE
    }
}

/// An ELF file of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// Whether it can be anywhere in memory.
    pub(super) movable: bool,
    pub(super) entry: u64,
    /// Address of the program headers, and how many.
    pub(super) headers: (u64, u64),
    pub(super) segments: Vec<Segment>,
    /// The program that loads it.
    pub(super) interpreter: Option<Vec<u8>>,
}

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINE: u16 = 243;

/// Bytes of a page of memory.
pub(super) const PAGE: u64 = 4096;
const HEADER: usize = 56;
/// Bytes of program headers, as many as the kernel takes.
const MAX_HEADERS: usize = 65536;
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
const OWN_HEADERS: u32 = 6;

impl Elf {
    /// Reads the headers of a file.
    pub(super) fn read(file: &File) -> Result<Self, Errno> {
        let mut head = [0; 64];
        file.read_exact_at(&mut head, 0).map_err(|_| Errno::NOEXEC)?;
        let kind = half(&head, 16);
        let native = head.starts_with(b"\x7fELF\x02\x01") && half(&head, 18) == MACHINE;
        if !native || !matches!(kind, 2 | 3) || usize::from(half(&head, 54)) != HEADER {
            return Err(Errno::NOEXEC);
        }
        let (at, count) = (long(&head, 32), usize::from(half(&head, 56)));
        if count * HEADER > MAX_HEADERS {
            return Err(Errno::NOEXEC);
        }
        let mut headers = vec![0; count * HEADER];
        file.read_exact_at(&mut headers, at).map_err(|_| Errno::NOEXEC)?;
        let mut elf = Self {
            movable: kind == 3,
            entry: long(&head, 24),
            headers: (0, count as u64),
            segments: Vec::new(),
            interpreter: None,
        };
        for header in headers.as_chunks::<HEADER>().0 {
            elf.add(file, header)?;
        }
        if elf.segments.is_empty() {
            return Err(Errno::NOEXEC);
        }
        if elf.headers.0 == 0 {
            let holds = |it: &&Segment| it.offset <= at && at < it.offset + it.in_file;
            let segment = elf.segments.iter().find(holds).ok_or(Errno::NOEXEC)?;
            elf.headers.0 = at - segment.offset + segment.address;
        }
        Ok(elf)
    }

    /// The page that it begins at, as its file has it.
    pub(super) fn start(&self) -> u64 {
        let first = self.segments.iter().map(|it| it.address).min();
        first.unwrap_or_default() & !(PAGE - 1)
    }

    fn add(&mut self, file: &File, header: &[u8; HEADER]) -> Result<(), Errno> {
        let segment = Segment {
            flags: word(header, 4),
            offset: long(header, 8),
            address: long(header, 16),
            in_file: long(header, 32),
            in_memory: long(header, 40),
        };
        match word(header, 0) {
            LOAD if segment.in_memory > 0 => {
                if !segment.is_possible() {
                    return Err(Errno::NOEXEC);
                }
                self.segments.push(segment);
            }
            INTERPRETER => {
                let length = usize::try_from(segment.in_file).map_err(|_| Errno::NOEXEC)?;
                let mut path = vec![0; length.min(4096)];
                file.read_exact_at(&mut path, segment.offset).map_err(|_| Errno::NOEXEC)?;
                path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
                self.interpreter = Some(path);
            }
            OWN_HEADERS => self.headers.0 = segment.address,
            _ => {}
        }
        Ok(())
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine_is_read() {
        let own = File::open("/proc/self/exe").unwrap();
        let elf = Elf::read(&own).unwrap();
        assert!(elf.segments.iter().any(|it| it.flags & 1 != 0 && it.in_file > 0));
        assert!(elf.headers.1 > 0);
        assert!(elf.entry > 0);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let text = File::open("/proc/self/cmdline").unwrap();
        assert_eq!(Elf::read(&text), Err(Errno::NOEXEC));
    }
}
