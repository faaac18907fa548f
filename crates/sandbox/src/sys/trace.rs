//! Tracing for the length of one execve. See ptrace(2).
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use rustix::io::Errno;

use super::process::check;

/// The registers of a stopped thread.
#[cfg(target_arch = "x86_64")]
pub(crate) type Registers = libc::user_regs_struct;

/// Why a traced thread stands still, or that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A new program has been loaded.
    Executed,
    /// It was asked to stop.
    Asked,
    /// This signal is about to be delivered.
    Signal(i32),
    /// It ended; this is the status that its parent would have seen.
    Ended(i32),
}

/// Begins to trace a thread; it goes on meanwhile. It dies with its tracer.
pub(crate) fn seize(pid: u32) -> Result<(), Errno> {
    let options = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SEIZE, pid, 0, options as usize)
}

/// Asks a thread to stop.
pub(crate) fn interrupt(pid: u32) -> Result<(), Errno> {
    request(libc::PTRACE_INTERRUPT, pid, 0, 0)
}

/// Lets a stopped thread go on.
pub(crate) fn go_on(pid: u32) -> Result<(), Errno> {
    request(libc::PTRACE_CONT, pid, 0, 0)
}

/// Lets a stopped thread go on for one instruction.
pub(crate) fn step(pid: u32) -> Result<(), Errno> {
    request(libc::PTRACE_SINGLESTEP, pid, 0, 0)
}

/// Lets a stopped thread go for good, with a signal or none.
pub(crate) fn detach(pid: u32, signal: i32) -> Result<(), Errno> {
    request(libc::PTRACE_DETACH, pid, 0, signal as usize)
}

/// Writes memory of a stopped thread, wherever it may be read.
pub(crate) fn poke(pid: u32, address: u64, bytes: &[u8; 64]) -> Result<(), Errno> {
    for (number, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
        let address = address as usize + number * 8;
        request(libc::PTRACE_POKEDATA, pid, address, usize::from_ne_bytes(*word))?;
    }
    Ok(())
}

/// Reads the signals that a stopped thread blocks.
pub(crate) fn blocked(pid: u32) -> Result<u64, Errno> {
    let mut set = 0_u64;
    request(GET_SIGNAL_MASK, pid, size_of::<u64>(), (&raw mut set).expose_provenance())?;
    Ok(set)
}

/// Sets the signals that a stopped thread blocks.
pub(crate) fn block(pid: u32, set: u64) -> Result<(), Errno> {
    request(SET_SIGNAL_MASK, pid, size_of::<u64>(), (&raw const set).expose_provenance())
}

const GET_SIGNAL_MASK: u32 = 0x420a;
const SET_SIGNAL_MASK: u32 = 0x420b;

/// Reads the registers of a stopped thread.
#[cfg(target_arch = "x86_64")]
pub(crate) fn registers(pid: u32) -> Result<Registers, Errno> {
    // SAFETY: the structure is plain data for which all zeroes is a value.
    let mut registers: Registers = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, pid, 0, (&raw mut registers).expose_provenance())?;
    Ok(registers)
}

/// Sets the registers of a stopped thread.
#[cfg(target_arch = "x86_64")]
pub(crate) fn set_registers(pid: u32, registers: &Registers) -> Result<(), Errno> {
    request(libc::PTRACE_SETREGS, pid, 0, std::ptr::from_ref(registers).expose_provenance())
}

/// Waits for the next stop of the one thread that this thread traces.
pub(crate) fn wait() -> Result<(u32, Stop), Errno> {
    let mut status = 0;
    loop {
        // __WNOTHREAD: children and tracees of this thread only.
        // SAFETY: `status` is valid for writes.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match check(libc::c_long::from(pid)) {
            Ok(pid) => return Ok((u32::try_from(pid).map_err(|_| Errno::SRCH)?, stop_of(status))),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn stop_of(status: i32) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Ended(status);
    }
    match (status >> 8, status >> 16) {
        (_, libc::PTRACE_EVENT_EXEC) => Stop::Executed,
        (_, libc::PTRACE_EVENT_STOP) => Stop::Asked,
        (signal, _) => Stop::Signal(signal & 0xff),
    }
}

fn request(request: u32, pid: u32, address: usize, data: usize) -> Result<(), Errno> {
    // SAFETY: callers pass numbers, or addresses of what the request reads or writes, in full.
    let done = unsafe { libc::syscall(libc::SYS_ptrace, request, pid, address, data) };
    check(done).map(drop)
}
