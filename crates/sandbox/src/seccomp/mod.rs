//! The system call filter: what a RUN may not call, and what is decided by the identity engine.
//!
//! The filter is one classic BPF program. It tells the native architecture from the 32-bit one of the
//! same machine, so that i386 programs run; any other architecture gets ENOSYS.

mod emulated;
mod refused;
mod watched;

use crate::spec::{Network, Security};
use crate::sys::seccomp::Instruction;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
/// Offset of the low half of the first argument (little endian).
const OFFSET_ARGS: u32 = 16;

const ALLOW: u32 = 0x7fff_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ERRNO: u32 = 0x0005_0000;

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// It returns this error.
    Refuse(i32),
    /// It returns 0 and nothing happens, if argument `.0` equals `.1` and argument `.2` is not 0.
    IgnoreIf(u32, u32, u32),
    /// It returns this error if argument `.0` has any of the bits `.1`.
    RefuseBits(u32, u32, i32),
    /// The identity engine decides.
    Notify,
    /// The identity engine decides if argument `.0` is one of `.1`.
    NotifyValues(u32, &'static [u32]),
    /// The identity engine decides if argument `.0` has any of the bits `.1`.
    NotifyBits(u32, u32),
    /// It is decided elsewhere if argument `.0` is not 0.
    NotifySet(u32),
    /// It is decided elsewhere if argument `.0` has none of the bits `.1`.
    NotifyUnlessBits(u32, u32),
}

/// One call and what happens to it.
pub(crate) type Rule = (libc::c_long, Verdict);

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCH: u32 = 0xc000_00f3;

/// i386, the 32-bit architecture of x86_64.
#[cfg(target_arch = "x86_64")]
const ARCH_32: u32 = 0x4000_0003;
/// 32-bit ARM.
#[cfg(target_arch = "aarch64")]
const ARCH_32: u32 = 0x4000_0028;
/// No such thing on riscv64: the same as the native one.
#[cfg(target_arch = "riscv64")]
const ARCH_32: u32 = 0xc000_00f3;

/// What the listener of a RUN in namespaces is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// There is none.
    Nothing,
    /// Calls that make devices.
    NewDevices,
    /// Calls that make devices or look at what may be one.
    Devices,
    /// Calls about users and owners as well.
    Identity,
}

/// Returns the filter of a RUN, which hands what is watched to the listener. Nothing is refused where
/// the RUN is insecure.
pub(crate) fn filter(security: Security, watch: Watch) -> Vec<Instruction> {
    let (mut native, narrow) = match security {
        Security::Sandbox => (refused::native(), refused::narrow()),
        Security::Insecure => (Vec::new(), Vec::new()),
    };
    match watch {
        Watch::Nothing => {}
        Watch::NewDevices => native.extend(watched::new_devices()),
        Watch::Devices => native.extend(watched::devices()),
        Watch::Identity => native.extend(watched::rules()),
    }
    let (native, narrow) = (section(&native, true), section(&narrow, false));
    let mut program = vec![
        statement(LOAD, OFFSET_ARCH),
        // Not native: skip the native section by falling into the long jump below.
        jump(JUMP_EQUAL, ARCH, 1, 0),
        statement(JUMP, length(&native)),
    ];
    program.extend(native);
    program.push(jump(JUMP_EQUAL, ARCH_32, 1, 0));
    program.push(refuse(libc::ENOSYS));
    program.extend(narrow);
    program
}

/// Returns the filter of an emulated run: everything that names a file, a user or a process is handed
/// to the listener, and programs of other architectures cannot run.
pub(crate) fn emulated(network: Network) -> Vec<Instruction> {
    native_only(&emulated::rules(network))
}

/// Returns the filter of a run that is confined by chroot: what reaches a process by number is handed to
/// the listener, and programs of other architectures cannot run.
pub(crate) fn chrooted(network: Network) -> Vec<Instruction> {
    native_only(&emulated::chrooted(network))
}

fn native_only(rules: &[Rule]) -> Vec<Instruction> {
    let native = section(rules, true);
    let mut program = vec![
        statement(LOAD, OFFSET_ARCH),
        jump(JUMP_EQUAL, ARCH, 1, 0),
        refuse(libc::ENOSYS),
        statement(LOAD, OFFSET_NUMBER),
        // What came later is not known here, and may take paths.
        jump(JUMP_GREATER_OR_EQUAL, emulated::UNKNOWN, 0, 1),
        refuse(libc::ENOSYS),
    ];
    program.extend(native);
    program
}

fn length(part: &[Instruction]) -> u32 {
    u32::try_from(part.len()).expect("filters are far below the kernel's limit of 4096")
}

fn section(rules: &[Rule], native: bool) -> Vec<Instruction> {
    let mut part = vec![statement(LOAD, OFFSET_NUMBER)];
    if native && cfg!(target_arch = "x86_64") {
        // The x32 ABI numbers its calls from here.
        part.push(jump(JUMP_GREATER_OR_EQUAL, 0x4000_0000, 0, 1));
        part.push(refuse(libc::ENOSYS));
    }
    // The first of several rules for a call counts.
    let mut rules = rules.to_vec();
    rules.sort_by_key(|rule| rule.0);
    rules.dedup_by_key(|rule| rule.0);
    let mut groups = rules.chunks(GROUP).peekable();
    while let Some(group) = groups.next() {
        let mut tried = Vec::new();
        for (number, verdict) in group {
            let body = body(*verdict);
            let skip = u8::try_from(body.len()).expect("a rule is a few instructions long");
            tried.push(jump(JUMP_EQUAL, call(*number), 0, skip));
            tried.extend(body);
        }
        if let Some(next) = groups.peek() {
            tried.push(statement(RETURN, ALLOW));
            part.push(jump(JUMP_GREATER_OR_EQUAL, call(next[0].0), 0, 1));
            part.push(statement(JUMP, length(&tried)));
        }
        part.extend(tried);
    }
    part.push(statement(RETURN, ALLOW));
    part
}

/// So many rules are tried one after the other. The kernel goes through a filter for every number that
/// there is when it is installed, and for many of the calls later.
const GROUP: usize = 8;

fn call(number: libc::c_long) -> u32 {
    u32::try_from(number).expect("call numbers are small")
}

/// Every body returns, so the accumulator need not be restored.
fn body(verdict: Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Refuse(errno) => vec![refuse(errno)],
        Verdict::Notify => vec![statement(RETURN, NOTIFY)],
        Verdict::RefuseBits(argument, bits, errno) => bits_or_allow(argument, bits, refuse(errno)),
        Verdict::NotifyValues(argument, values) => {
            let mut body = vec![statement(LOAD, OFFSET_ARGS + 8 * argument)];
            let count = u8::try_from(values.len()).expect("rules name a few values");
            // To the last instruction, which is after one that allows.
            let jumps = values.iter().zip((1..=count).rev());
            body.extend(jumps.map(|(value, skip)| jump(JUMP_EQUAL, *value, skip, 0)));
            body.extend([statement(RETURN, ALLOW), statement(RETURN, NOTIFY)]);
            body
        }
        Verdict::NotifyBits(argument, bits) => {
            bits_or_allow(argument, bits, statement(RETURN, NOTIFY))
        }
        Verdict::NotifySet(argument) => vec![
            statement(LOAD, OFFSET_ARGS + 8 * argument),
            jump(JUMP_EQUAL, 0, 0, 2),
            statement(LOAD, OFFSET_ARGS + 8 * argument + 4),
            jump(JUMP_EQUAL, 0, 1, 0),
            statement(RETURN, NOTIFY),
            statement(RETURN, ALLOW),
        ],
        Verdict::NotifyUnlessBits(argument, bits) => vec![
            statement(LOAD, OFFSET_ARGS + 8 * argument),
            jump(JUMP_ANY_BIT, bits, 1, 0),
            statement(RETURN, NOTIFY),
            statement(RETURN, ALLOW),
        ],
        Verdict::IgnoreIf(argument, value, other) => vec![
            statement(LOAD, OFFSET_ARGS + 8 * argument),
            jump(JUMP_EQUAL, value, 0, 5),
            statement(LOAD, OFFSET_ARGS + 8 * other),
            jump(JUMP_EQUAL, 0, 0, 2),
            statement(LOAD, OFFSET_ARGS + 8 * other + 4),
            jump(JUMP_EQUAL, 0, 1, 0),
            statement(RETURN, ERRNO),
            statement(RETURN, ALLOW),
        ],
    }
}

fn bits_or_allow(argument: u32, bits: u32, then: Instruction) -> Vec<Instruction> {
    vec![
        statement(LOAD, OFFSET_ARGS + 8 * argument),
        jump(JUMP_ANY_BIT, bits, 0, 1),
        then,
        statement(RETURN, ALLOW),
    ]
}

fn statement(code: u16, value: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, value }
}

fn jump(code: u16, value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, value }
}

fn refuse(errno: i32) -> Instruction {
    statement(RETURN, ERRNO | u32::try_from(errno).expect("error numbers are positive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter says to a call whose arguments are all `argument`, as the kernel works it out, and
    /// in how many instructions.
    fn run(filter: &[Instruction], arch: u32, number: u32, argument: u64) -> (u32, usize) {
        let [low, high] =
            [argument, argument >> 32].map(|it| u32::try_from(it & 0xffff_ffff).unwrap());
        let (mut at, mut loaded, mut steps) = (0, 0, 0);
        loop {
            let Instruction { code, jump_true, jump_false, value } = filter[at];
            (at, steps) = (at + 1, steps + 1);
            let branch = |taken: bool| usize::from(if taken { jump_true } else { jump_false });
            match code {
                LOAD => {
                    loaded = match value {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCH => arch,
                        _ if (value - OFFSET_ARGS).is_multiple_of(8) => low,
                        _ => high,
                    };
                }
                JUMP => at += usize::try_from(value).unwrap(),
                JUMP_EQUAL => at += branch(loaded == value),
                JUMP_GREATER_OR_EQUAL => at += branch(loaded >= value),
                JUMP_ANY_BIT => at += branch(loaded & value != 0),
                RETURN => return (value, steps),
                _ => panic!("no such instruction: {code}"),
            }
        }
    }

    fn answer(filter: &[Instruction], arch: u32, number: u32, argument: u64) -> u32 {
        run(filter, arch, number, argument).0
    }

    /// The first rule for a call decides, and without one it is allowed.
    fn expected(rules: &[Rule], number: u32, argument: u64) -> u32 {
        let Some((_, verdict)) = rules.iter().find(|it| call(it.0) == number) else { return ALLOW };
        answer(&body(*verdict), ARCH, number, argument)
    }

    #[test]
    fn a_filter_says_of_each_call_what_its_rule_says() {
        for watch in [Watch::Nothing, Watch::NewDevices, Watch::Devices, Watch::Identity] {
            let mut native = refused::native();
            match watch {
                Watch::Nothing => {}
                Watch::NewDevices => native.extend(watched::new_devices()),
                Watch::Devices => native.extend(watched::devices()),
                Watch::Identity => native.extend(watched::rules()),
            }
            let filter = filter(Security::Sandbox, watch);
            assert!(filter.len() < 4096, "{} instructions", filter.len());
            for number in 0..700 {
                for argument in [0, 1, 0o10_000, 0o20_000, 0x1000, 0x1000_0000, 1 << 40, u64::MAX] {
                    let said = answer(&filter, ARCH, number, argument);
                    assert_eq!(said, expected(&native, number, argument), "{watch:?} {number}");
                    let said = answer(&filter, ARCH_32, number, argument);
                    let rule = expected(&refused::narrow(), number, argument);
                    assert_eq!(said, rule, "{watch:?} 32 bits, {number}");
                }
            }
            assert_eq!(answer(&filter, 1, 0, 0), refuse(libc::ENOSYS).value);
        }
    }

    #[test]
    fn only_what_makes_a_device_is_asked_about_where_there_is_none() {
        let filter = filter(Security::Sandbox, Watch::NewDevices);
        let asked = |number: libc::c_long, argument: u32| {
            answer(&filter, ARCH, call(number), argument.into()) == NOTIFY
        };
        assert!(asked(libc::SYS_mknodat, libc::S_IFBLK | 0o600));
        assert!(asked(libc::SYS_mknodat, libc::S_IFCHR | 0o600));
        assert!(!asked(libc::SYS_mknodat, libc::S_IFIFO | 0o600));
        assert!(!asked(libc::SYS_statx, 0) && !asked(libc::SYS_newfstatat, 0));
    }

    /// The child of PID 1 relies upon it: it waits for an answer to this call before it goes on.
    #[test]
    fn a_device_to_be_made_is_asked_about_in_every_watch() {
        for watch in [Watch::NewDevices, Watch::Devices, Watch::Identity] {
            for security in [Security::Sandbox, Security::Insecure] {
                let mode = libc::S_IFCHR.into();
                let said = answer(&filter(security, watch), ARCH, call(libc::SYS_mknodat), mode);
                assert_eq!(said, NOTIFY, "{watch:?} {security:?}");
            }
        }
    }

    #[test]
    fn few_rules_are_tried_for_a_call() {
        for filter in [filter(Security::Sandbox, Watch::Identity), emulated(Network::Default)] {
            let most = (0..450).map(|number| run(&filter, ARCH, number, 0).1).max().unwrap();
            assert!(most < 60, "{most} instructions of {}", filter.len());
        }
    }
}
