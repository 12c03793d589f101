//! How many programs a second a helper starts and keeps: `cargo run --release -p ringhold-sys --example spawns -- [COUNT]`.
//! The program is `/bin/true`, one after the other.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ringhold_sys::programs::{
    Exit, HelperProcess, KeeperEvent, ProgramDescriptors, Sending, SpawnLimits, SpawnRequest,
    helper_main_if_called,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _ = helper_main_if_called();
    let count = std::env::args().nth(1).map_or(Ok(1000), |it| it.parse())?;
    let mut helper = HelperProcess::start(&std::env::current_exe()?, OsStr::new("spawns"))?;
    let mut took = Vec::with_capacity(count);
    let begun = Instant::now();
    for _ in 0..count {
        let started = Instant::now();
        run(&helper)?;
        took.push(started.elapsed());
    }
    let all = begun.elapsed();
    took.sort_unstable();
    let at = |part: usize| {
        took.get(took.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    let a_second = count as f64 / all.as_secs_f64();
    println!("{a_second:.0} a second, p50 {:?}, p99 {:?}", at(50), at(99));
    helper.end(Duration::from_secs(10))?;
    Ok(())
}

fn run(helper: &HelperProcess) -> Result<(), Box<dyn std::error::Error>> {
    let request = SpawnRequest {
        file: "/bin/true".into(),
        name: "true".into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        directory: "/".into(),
        limits: SpawnLimits::default(),
        detach_ok: false,
        has_stdin: false,
        leftover_grace: Duration::ZERO,
    };
    let nothing = || {
        File::options()
            .write(true)
            .open("/dev/null")
            .map(OwnedFd::from)
    };
    let descriptors = ProgramDescriptors {
        input: None,
        output: nothing()?,
        error: nothing()?,
    };
    let (mut sending, mut control) = Sending::new(request, descriptors)?;
    sending.go_on(helper.socket()?)?;
    let mut received = Vec::new();
    let mut bytes = [0; 256];
    loop {
        while let Some((event, length)) = KeeperEvent::decode(&received)? {
            received.drain(..length);
            match event {
                KeeperEvent::Ended(end) if end.exit == Exit::Code(0) => return Ok(()),
                KeeperEvent::Started { .. } => {}
                other => return Err(format!("{other:?}").into()),
            }
        }
        let read = control.read(&mut bytes)?;
        if read == 0 {
            return Err("the keeper is gone".into());
        }
        received.extend(bytes.iter().take(read));
    }
}
