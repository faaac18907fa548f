//! One execve, carried out by tracing the caller for that long.
//!
//! The kernel would look up a program's name, and that of the program that loads it, in the tree of
//! the host. So the caller is stopped and made to call again, with the path that the file has on the
//! host; where a program has to be loaded, what the kernel executes is the loader, and the program is
//! put into memory for it as the kernel would have done. Before any of its instructions runs it is
//! checked that what was executed is what was meant: another thread of the caller may have changed
//! the path.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::World;
use super::elf::{Elf, PAGE, Segment};
use super::exec::{Plan, comm};
use crate::sys::trace::{self, Registers, Stop};
use crate::sys::{memory, notify};

/// Below the stack of a thread, what a leaf function may use.
const RED_ZONE: u64 = 128;
/// What is surely there below that.
const SMALL: usize = 3000;

/// Executes a program in the thread that waits in a call; answers that call whatever happens.
pub(super) fn execute(world: &Arc<World>, id: u64, pid: u32, plan: Plan) {
    let _one_more = world.tracing.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let listener = world.listener.as_fd();
    let given = match &plan.program {
        Some((file, _)) => match notify::give_descriptor(listener, id, file.as_fd()) {
            Ok(number) => Some(number),
            Err(errno) => {
                let _gone = notify::answer(listener, id, Err(errno));
                return;
            }
        },
        None => None,
    };
    if let Err(errno) = trace::seize(pid) {
        let _gone = notify::answer(listener, id, Err(errno));
        return;
    }
    let interrupted = trace::interrupt(pid);
    let _gone = notify::answer(listener, id, Err(Errno::INTR));
    let mut tracee = Tracee { world, pid, held: 0, given };
    if interrupted.and_then(|()| tracee.run(&plan)).is_err() {
        tracee.end();
    }
}

struct Tracee<'a> {
    world: &'a Arc<World>,
    pid: u32,
    /// The signal that came meanwhile: only one cannot be blocked and does not end it.
    held: i32,
    /// The program's descriptor in the tracee.
    given: Option<u32>,
}

impl Tracee<'_> {
    /// Waits for the next stop.
    fn wait(&mut self) -> Result<Stop, Errno> {
        let (pid, stop) = trace::wait()?;
        match stop {
            Stop::Ended(status) => {
                self.world.note_end(pid, status);
                Err(Errno::SRCH)
            }
            // A thread that executes becomes the first of its process.
            Stop::Executed => {
                self.pid = pid;
                Ok(stop)
            }
            Stop::Signal(signal) if signal != libc::SIGTRAP => {
                self.held = signal;
                Ok(stop)
            }
            _ => Ok(stop),
        }
    }

    /// Ends what can be neither let go nor led on.
    fn end(&self) {
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()) {
            let _gone = kill_process(pid, Signal::KILL);
        }
        while let Ok((pid, stop)) = trace::wait() {
            if let Stop::Ended(status) = stop {
                self.world.note_end(pid, status);
                return;
            }
        }
    }

    fn run(&mut self, plan: &Plan) -> Result<(), Errno> {
        while self.wait()? != Stop::Asked {
            trace::go_on(self.pid)?;
        }
        let before = trace::registers(self.pid)?;
        let blocked = trace::blocked(self.pid)?;
        trace::block(self.pid, u64::MAX)?;
        match self.call_again(plan, &before)? {
            Ok(()) => {
                self.loaded(plan)?;
                trace::block(self.pid, blocked)?;
            }
            Err(errno) => {
                if let Some(number) = self.given {
                    self.inject(&before, libc::SYS_close, [u64::from(number), 0, 0, 0, 0, 0])?;
                }
                let mut after = before;
                after.rax = i64::from(-errno).cast_unsigned();
                after.orig_rax = u64::MAX;
                trace::set_registers(self.pid, &after)?;
                trace::block(self.pid, blocked)?;
            }
        }
        trace::detach(self.pid, self.held)
    }

    /// Makes the thread execute the file on the host; the error is that of the call.
    fn call_again(&mut self, plan: &Plan, before: &Registers) -> Result<Result<(), i32>, Errno> {
        let mut registers = *before;
        let (path, argv) = self.lay_out(plan, before)?;
        registers.rip = before.rip - 2;
        registers.rax = libc::SYS_execve as u64;
        registers.orig_rax = u64::MAX;
        (registers.rdi, registers.rsi, registers.rdx) = (path, argv, plan.envp);
        trace::set_registers(self.pid, &registers)?;
        let caller = self.pid;
        self.world.executing().insert(caller);
        let outcome = self.outcome_of_call();
        // Before the thread goes on by itself: it may execute again, traced by another thread.
        self.world.executing().remove(&caller);
        outcome
    }

    fn outcome_of_call(&mut self) -> Result<Result<(), i32>, Errno> {
        trace::step(self.pid)?;
        loop {
            match self.wait()? {
                Stop::Executed => return Ok(Ok(())),
                Stop::Signal(libc::SIGTRAP) => {
                    let result = trace::registers(self.pid)?.rax.cast_signed();
                    return Ok(Err(i32::try_from(-result).unwrap_or(libc::ENOEXEC)));
                }
                Stop::Asked | Stop::Signal(_) => trace::step(self.pid)?,
                Stop::Ended(_) => return Err(Errno::SRCH),
            }
        }
    }

    /// Puts the path, and arguments if there are new ones, where the thread keeps nothing.
    fn lay_out(&mut self, plan: &Plan, before: &Registers) -> Result<(u64, u64), Errno> {
        let path = plan.image.as_bytes_with_nul();
        let texts = plan.arguments.as_deref().unwrap_or_default();
        let size = path.len()
            + texts.iter().map(|it| it.len() + 1).sum::<usize>()
            + (texts.len() + 1) * 8
            + 16;
        let start = if size < SMALL {
            (before.rsp - RED_ZONE - size as u64) & !15
        } else {
            let length = (size as u64).next_multiple_of(PAGE);
            let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
            let arguments = [0, length, 3, flags, u64::MAX, 0];
            self.inject(before, libc::SYS_mmap, arguments)?
        };
        let mut bytes = path.to_vec();
        let mut pointers = Vec::new();
        for text in texts {
            pointers.push(start + bytes.len() as u64);
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        pointers.push(0);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let argv = start + bytes.len() as u64;
        bytes.extend(pointers.iter().flat_map(|it: &u64| it.to_ne_bytes()));
        memory::write(self.pid, start, &bytes)?;
        Ok((start, if plan.arguments.is_some() { argv } else { plan.argv }))
    }

    /// Lets the thread make one system call, at an instruction before `at`.
    fn inject(
        &mut self,
        at: &Registers,
        number: libc::c_long,
        arguments: [u64; 6],
    ) -> Result<u64, Errno> {
        let mut registers = *at;
        registers.rip = at.rip - 2;
        registers.rax = number.cast_unsigned();
        registers.orig_rax = u64::MAX;
        let [one, two, three, four, five, six] = arguments;
        (registers.rdi, registers.rsi, registers.rdx) = (one, two, three);
        (registers.r10, registers.r8, registers.r9) = (four, five, six);
        trace::set_registers(self.pid, &registers)?;
        trace::step(self.pid)?;
        self.wait()?;
        let result = trace::registers(self.pid)?.rax;
        let error = result.cast_signed();
        if (-4095..0).contains(&error) {
            return Err(Errno::from_raw_os_error(i32::try_from(-error).unwrap_or(libc::EIO)));
        }
        Ok(result)
    }

    /// The new program is in memory; none of its instructions has run.
    fn loaded(&mut self, plan: &Plan) -> Result<(), Errno> {
        memory::forget(self.pid);
        let executed = std::ffi::CString::new(format!("/proc/{}/exe", self.pid));
        let executed = memory::stat(&executed.map_err(|_| Errno::INVAL)?, 0)?;
        if (executed.st_dev, executed.st_ino) != plan.inode {
            return Err(Errno::ACCESS);
        }
        let program = Arc::from(plan.path.as_slice());
        let credentials = plan.credentials.clone();
        self.world.change_state(self.pid, |state| {
            (state.credentials, state.program) = (credentials, program);
        })?;
        let start = trace::registers(self.pid)?;
        let mut stack = Stack::read(self.pid, start.rsp)?;
        self.name(plan, &stack)?;
        let mut calls = Calls::default();
        if comm(&plan.name) != comm(plan.image.as_bytes()) {
            calls.name(&comm(&plan.name));
        }
        if let Some((_, elf)) = &plan.program {
            let fd = u64::from(self.given.ok_or(Errno::BADF)?);
            calls.map(elf, fd)?;
        }
        let base = self.make(&calls, &start)?;
        if let Some((_, elf)) = &plan.program {
            for (at, length) in calls.zeroes {
                memory::write(self.pid, base + at, &vec![0; length])?;
            }
            let moved = base.wrapping_sub(elf.start());
            stack.set(libc::AT_BASE, stack.get(libc::AT_ENTRY) - plan.entry);
            stack.set(libc::AT_PHDR, moved.wrapping_add(elf.headers.0));
            stack.set(libc::AT_PHNUM, elf.headers.1);
            stack.set(libc::AT_ENTRY, moved.wrapping_add(elf.entry));
        }
        let user = &plan.credentials.user;
        stack.set(libc::AT_UID, u64::from(user.real));
        stack.set(libc::AT_EUID, u64::from(user.effective));
        stack.set(libc::AT_GID, u64::from(plan.credentials.group.real));
        stack.set(libc::AT_EGID, u64::from(plan.credentials.group.effective));
        let secure = user.real != user.effective
            || plan.credentials.group.real != plan.credentials.group.effective;
        stack.set(libc::AT_SECURE, u64::from(secure));
        stack.write(self.pid)
    }

    /// Writes the name that was called over the path on the host.
    fn name(&self, plan: &Plan, stack: &Stack) -> Result<(), Errno> {
        let name = [plan.name.as_slice(), b"\0"].concat();
        memory::write(self.pid, stack.get(libc::AT_EXECFN), &name)
    }

    /// Has the thread make calls, by instructions that stand for so long where the program begins;
    /// returns where the program that was mapped is, if one was.
    fn make(&mut self, calls: &Calls, start: &Registers) -> Result<u64, Errno> {
        if calls.calls.is_empty() {
            return Ok(0);
        }
        let table = calls.laid_out(start.rsp);
        memory::write(self.pid, table.at, &table.bytes)?;
        // All in the page that the program begins in, which is there.
        let code = start.rip.min((start.rip & !(PAGE - 1)) + PAGE - LOOP.len() as u64);
        let mut instead = [0; LOOP.len()];
        if memory::read(self.pid, code, &mut instead)? != instead.len() {
            return Err(Errno::FAULT);
        }
        trace::poke(self.pid, code, &LOOP)?;
        let (rip, rbx, rbp, r15) = (code, table.at, table.end, 0);
        trace::set_registers(self.pid, &Registers { rip, rbx, rbp, r15, ..*start })?;
        trace::go_on(self.pid)?;
        while self.wait()? != Stop::Signal(libc::SIGTRAP) {
            trace::go_on(self.pid)?;
        }
        let base = trace::registers(self.pid)?.r15;
        trace::poke(self.pid, code, &instead)?;
        trace::set_registers(self.pid, &Registers { rax: 0, orig_rax: u64::MAX, ..*start })?;
        let mut results = vec![0; table.bytes.len()];
        if memory::read(self.pid, table.at, &mut results)? != results.len() {
            return Err(Errno::FAULT);
        }
        for call in results[..(table.end - table.at) as usize].as_chunks::<CALL>().0 {
            let result = i64::from_ne_bytes(*call.first_chunk().unwrap_or(&[0; 8]));
            if (-4095..0).contains(&result) {
                let errno = i32::try_from(-result).unwrap_or(libc::EIO);
                return Err(Errno::from_raw_os_error(errno));
            }
        }
        Ok(base)
    }
}

/// Makes the calls from the address in rbx to that in rbp, each as [`Call`] lays it out, and traps.
const LOOP: [u8; 64] = [
    0x48, 0x8b, 0x03, // mov rax, [rbx]
    0x48, 0x8b, 0x7b, 0x08, // mov rdi, [rbx + 8]
    0x48, 0x8b, 0x73, 0x10, // mov rsi, [rbx + 16]
    0x48, 0x8b, 0x53, 0x18, // mov rdx, [rbx + 24]
    0x4c, 0x8b, 0x53, 0x20, // mov r10, [rbx + 32]
    0x4c, 0x8b, 0x43, 0x28, // mov r8, [rbx + 40]
    0x4c, 0x8b, 0x4b, 0x30, // mov r9, [rbx + 48]
    0xf6, 0x43, 0x38, MOVED, // test byte [rbx + 56], MOVED
    0x74, 0x03, // jz +3
    0x4c, 0x01, 0xff, // add rdi, r15
    0x0f, 0x05, // syscall
    0x48, 0x89, 0x03, // mov [rbx], rax
    0xf6, 0x43, 0x38, BASE, // test byte [rbx + 56], BASE
    0x74, 0x03, // jz +3
    0x49, 0x89, 0xc7, // mov r15, rax
    0x48, 0x83, 0xc3, 0x40, // add rbx, 64
    0x48, 0x39, 0xeb, // cmp rbx, rbp
    0x75, 0xc5, // jne to the first
    0xcc, // int3
    0x90, 0x90, 0x90, 0x90,
];

/// The first argument is relative to the base.
const MOVED: u8 = 1;
/// The result is the base.
const BASE: u8 = 2;
/// Bytes of a call: its number or result, six arguments, and one of the above.
const CALL: usize = 64;

/// Calls that a new program makes before its first instruction.
#[derive(Default)]
struct Calls {
    calls: Vec<[u64; 8]>,
    /// What the process is to be called.
    name: Option<[u8; 16]>,
    /// Memory that is to be cleared afterwards, from the base on, and how much.
    zeroes: Vec<(u64, usize)>,
}

/// Calls in memory, and the name behind them.
struct Table {
    at: u64,
    end: u64,
    bytes: Vec<u8>,
}

impl Calls {
    fn add(&mut self, number: libc::c_long, arguments: [u64; 6], kind: u8) {
        let [one, two, three, four, five, six] = arguments;
        let number = number.cast_unsigned();
        self.calls.push([number, one, two, three, four, five, six, u64::from(kind)]);
    }

    fn name(&mut self, comm: &[u8]) {
        let mut name = [0; 16];
        name.iter_mut().zip(comm).for_each(|(to, from)| *to = *from);
        self.name = Some(name);
        self.add(libc::SYS_prctl, [libc::PR_SET_NAME as u64, 0, 0, 0, 0, 0], 0);
    }

    /// Maps a program as execve(2) does.
    fn map(&mut self, elf: &Elf, fd: u64) -> Result<(), Errno> {
        let first = elf.start();
        let end = elf.segments.iter().map(|it| it.address + it.in_memory).max();
        let length = (end.ok_or(Errno::NOEXEC)? - first).next_multiple_of(PAGE);
        let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as u64;
        let fixed = libc::MAP_FIXED_NOREPLACE as u64;
        let (at, fixed) = if elf.movable { (0, 0) } else { (first, fixed) };
        self.add(libc::SYS_mmap, [at, length, 0, anonymous | fixed, u64::MAX, 0], BASE);
        for segment in &elf.segments {
            self.map_one(segment, first, fd);
        }
        self.add(libc::SYS_close, [fd, 0, 0, 0, 0, 0], 0);
        Ok(())
    }

    fn map_one(&mut self, segment: &Segment, first: u64, fd: u64) {
        let Segment { offset, address, in_file, in_memory, flags } = *segment;
        let address = address - first;
        let start = address & !(PAGE - 1);
        let within = address - start;
        // PF_X, PF_W, PF_R are 1, 2, 4; PROT_READ, PROT_WRITE, PROT_EXEC are.
        let protection = u64::from((flags & 4) >> 2 | flags & 2 | (flags & 1) << 2);
        let fixed = (libc::MAP_PRIVATE | libc::MAP_FIXED) as u64;
        let file_end = (within + in_file).next_multiple_of(PAGE);
        if in_file > 0 {
            let arguments = [start, within + in_file, protection, fixed, fd, offset - within];
            self.add(libc::SYS_mmap, arguments, MOVED);
        }
        let file_end = if in_file > 0 { start + file_end } else { start };
        let data_end = address + in_file;
        if in_memory > in_file && in_file > 0 && data_end < file_end {
            self.zeroes.push((data_end, (file_end - data_end) as usize));
        }
        let end = (address + in_memory).next_multiple_of(PAGE);
        if end > file_end {
            let anonymous = fixed | libc::MAP_ANONYMOUS as u64;
            let arguments = [file_end, end - file_end, protection, anonymous, u64::MAX, 0];
            self.add(libc::SYS_mmap, arguments, MOVED);
        }
    }

    /// The calls in memory below a stack.
    fn laid_out(&self, stack: u64) -> Table {
        let size = (self.calls.len() * CALL) as u64;
        let at = (stack - RED_ZONE - 16 - size) & !15;
        let end = at + size;
        let mut calls = self.calls.clone();
        if let Some(naming) = calls.first_mut().filter(|_| self.name.is_some()) {
            naming[2] = end;
        }
        let mut bytes: Vec<u8> = calls.iter().flatten().flat_map(|it| it.to_ne_bytes()).collect();
        bytes.extend(self.name.unwrap_or_default());
        Table { at, end, bytes }
    }
}

/// The pairs of numbers that the kernel leaves to a program. See getauxval(3).
struct Stack {
    at: u64,
    pairs: Vec<[u64; 2]>,
}

impl Stack {
    fn read(pid: u32, stack: u64) -> Result<Self, Errno> {
        let word = |address: u64| -> Result<u64, Errno> {
            let mut bytes = [0; 8];
            match memory::read(pid, address, &mut bytes)? {
                8 => Ok(u64::from_ne_bytes(bytes)),
                _ => Err(Errno::FAULT),
            }
        };
        let mut at = stack + 8 * (word(stack)? + 2);
        // Variables, in pieces: there may be many.
        loop {
            let mut bytes = [0; 512];
            let count = memory::read(pid, at, &mut bytes)?;
            let words = bytes[..count].as_chunks::<8>().0;
            match words.iter().position(|it| *it == [0; 8]) {
                Some(end) => {
                    at += 8 * (end as u64 + 1);
                    break;
                }
                None if words.is_empty() => return Err(Errno::FAULT),
                None => at += 8 * words.len() as u64,
            }
        }
        let mut pairs = Vec::new();
        let mut next = at;
        loop {
            let pair = [word(next)?, word(next + 8)?];
            pairs.push(pair);
            next += 16;
            if pair[0] == libc::AT_NULL {
                return Ok(Self { at, pairs });
            }
        }
    }

    fn get(&self, key: u64) -> u64 {
        self.pairs.iter().find(|it| it[0] == key).map_or(0, |it| it[1])
    }

    fn set(&mut self, key: u64, value: u64) {
        if let Some(pair) = self.pairs.iter_mut().find(|it| it[0] == key) {
            pair[1] = value;
        }
    }

    fn write(&self, pid: u32) -> Result<(), Errno> {
        let bytes: Vec<u8> = self.pairs.iter().flatten().flat_map(|it| it.to_ne_bytes()).collect();
        memory::write(pid, self.at, &bytes)
    }
}
