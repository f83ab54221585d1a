use std::ffi::OsString;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgGroup, Args, ValueEnum, ValueHint};

use super::rendered;
use super::targets::Targets;
use crate::capture::Voice;
use crate::clock;
use crate::error::{Exit, ExpectedError, Result};
use crate::fault::{Faults, Plan};
use crate::incident::reader::Incident;
use crate::quantity::duration;
use crate::replay::driver::Pace;
use crate::replay::limiting::{Limiting, Signs, limiting};
use crate::replay::matcher::OnUnmatched;
use crate::replay::slo::Slo;
use crate::replay::stub::LiveRule;
use crate::replay::{Judged, Options, run};
use crate::report::output::{Output, To};
use crate::report::{self, Facts, Faulted, Report, files};

/// Send the recorded requests to a live build of the service, its dependencies answered from the recording.
///
/// Every outbound connection of the target is answered by a stub, and every name is resolved from the incident; what
/// the recording has no counterpart for is refused, so nothing leaves the machine. The incident is sent several times:
/// what the runs disagree about is volatile, and what all of them do otherwise than the recording is a divergence,
/// named with its place, the reason and the command that shows it again. Needs root, except without a target: then
/// explicit stubs serve programs that know HTTP_PROXY.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("target").multiple(true).args(Targets::WORDS))]
pub struct Replay {
    /// The incident to replay.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    incident: PathBuf,
    #[command(flatten)]
    targets: Targets,
    /// Launch CMD into this cgroup, which `infernosim verify` captures.
    #[arg(long, hide = true, value_name = "PATH", requires = "command")]
    into: Option<String>,
    /// Where requests are sent [default: the recorded port on loopback].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = base)]
    target_base: Option<SocketAddr>,
    /// How often the incident is sent.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// What recorded waits (gaps, answers, chunks) are multiplied by; 0: no waits, in the recorded order.
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true, value_parser = scale)]
    time_scale: f64,
    /// What the gaps between requests are divided by.
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true, value_parser = density)]
    density: f64,
    /// The least gap between requests that did not overlap in the recording.
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = duration)]
    min_gap: u64,
    /// The longest a run may take; 0s: however long [default: 30s, or twice the recording's length plus the window if that
    /// is more].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_wall_time: Option<u64>,
    /// End a run in which nothing moves for so long; 0s: never.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    max_idle_time: u64,
    /// Send no more than the first so many requests; 0: all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_events: u64,
    /// So many workers send all requests at once, each for itself and with the ids that it was given.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    fanout: u32,
    /// Repeat the incident until so much time is full; 0: once.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    window: u64,
    /// Let this go wrong, such as `dep=payments latency=+200ms`; may be repeated, applied in this order.
    #[arg(long, value_name = "RULE")]
    inject: Vec<String>,
    /// Let go wrong what this file says, before the rules of --inject.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    plan: Option<PathBuf>,
    /// What all chances of the faults follow from [default: that of the plan, else drawn and printed].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What all runs together are to keep: p50, p90, p95, p99, p999 or max below a time, errors or retries below a share
    /// or a number, rate above a number a second; may be repeated.
    #[arg(long, value_name = "TERM,…")]
    slo: Vec<Slo>,
    /// Without a target: answer requests for any dependency here [default: :19000].
    #[arg(long, value_name = "ADDRESS", value_parser = listen, conflicts_with = "target")]
    stub_listen: Vec<SocketAddr>,
    /// Without a target: answer here as the proxy that HTTP_PROXY names [default: :9000].
    #[arg(long, value_name = "ADDRESS", value_parser = listen, conflicts_with = "target")]
    stub_compat_listen: Vec<SocketAddr>,
    /// What becomes of a request or a connect that the recording has no counterpart for.
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    on_unmatched: Unmatched,
    /// Do not stub this dependency: let it be reached, at another address if one is given; may be repeated.
    #[arg(long, visible_alias = "map", value_name = "DEP[=HOST:PORT]", value_parser = live)]
    live: Vec<LiveRule>,
    /// Send only this request: its number as `infernosim inspect` shows it (12 or #12), its id, or the beginning of that.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Do not compare this field: status, query.NAME, header.NAME, body.PATH; * and ? match.
    #[arg(long, value_name = "PATH")]
    ignore: Vec<String>,
    /// Let a call be taken for a recorded one only if they differ in ids and times alone.
    #[arg(long)]
    strict: bool,
    /// Start CMD anew before each run.
    #[arg(long, requires = "command")]
    fresh: bool,
    /// Write the report in this format, too: text, json, junit, markdown or html, to FILE or, with `-`, to stdout in place of
    /// the text; may be repeated. `markdown` alone is added to the file that GITHUB_STEP_SUMMARY names.
    #[arg(long, value_name = "FORMAT=FILE", value_hint = ValueHint::Other, value_parser = Output::parse)]
    report: Vec<Output>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Print results and errors only.
    #[arg(short, long)]
    quiet: bool,
}

const EXAMPLES: &str = "Examples:
  sudo infernosim replay --incident ./checkout-bug -- ./app
  sudo infernosim replay --incident ./checkout-bug --runs 3 --fresh -- python3 app.py
  sudo infernosim replay --incident ./checkout-bug --request 5f0c6d1e --runs 1 -- ./app
  sudo infernosim replay --incident ./checkout-bug --time-scale 0 --pid 4242
  sudo infernosim replay --incident ./checkout-bug --inject 'dep=payments latency=+200ms' -- ./app
  sudo infernosim replay --incident ./bug --inject 'dep=stock p=0.1 status=503' --seed 7 -- ./app
  sudo infernosim replay --fanout 167 --window 5m --slo 'p99<250ms,errors<1%' --pid 4242
  sudo infernosim replay --incident ./checkout-bug --live 'redis.test:6379' -- ./app
  sudo infernosim replay --incident ./checkout-bug --report html=replay.html -- ./app
  infernosim replay --incident . --target-base http://localhost:8084

Exit status: 0 pass; 1 divergence, or a run that failed; 2 usage; 3 this host cannot; 4 the incident is unusable or \
nothing was exercised.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unmatched {
    /// 502, ECONNREFUSED, NXDOMAIN.
    Fail,
    /// The nearest recorded answer of the dependency.
    Closest,
    /// It goes where it was meant to go.
    Passthrough,
}

impl Replay {
    /// Replays; returns the status to exit with.
    pub fn run(self, command_line: &[OsString], out: &mut impl Write) -> Result<i32> {
        check_outputs(&self.report, self.json)?;
        let outputs = self.report.clone();
        let volatile = files::read_volatile(&self.incident)?;
        let plan = Plan::gather(self.plan.as_deref(), &self.inject, self.seed)?;
        plan.check_for_replay()?;
        let faults = Arc::new(Faults::new(plan));
        let or = |given: Vec<SocketAddr>, port| {
            if given.is_empty() { vec![(Ipv4Addr::LOCALHOST, port).into()] } else { given }
        };
        let options = Options {
            selection: self.targets.selection(),
            incident: self.incident,
            into: self.into,
            base: self.target_base,
            runs: self.runs,
            pace: Pace {
                time_scale: self.time_scale,
                density: self.density,
                min_gap_ns: self.min_gap,
                fanout: self.fanout,
            },
            window_ns: self.window,
            slo: self.slo.into_iter().fold(Slo::default(), |mut all, more| {
                all.add(more);
                all
            }),
            max_wall_ns: self.max_wall_time,
            max_idle_ns: self.max_idle_time,
            max_events: self.max_events,
            stub_listen: or(self.stub_listen, 19_000),
            stub_compat_listen: or(self.stub_compat_listen, 9_000),
            on_unmatched: match self.on_unmatched {
                Unmatched::Fail => OnUnmatched::Fail,
                Unmatched::Closest => OnUnmatched::Closest,
                Unmatched::Passthrough => OnUnmatched::Passthrough,
            },
            live: self.live,
            faults,
            request: self.request,
            ignore: self.ignore,
            strict: self.strict,
            fresh: self.fresh,
            user: self.targets.user,
            volatile,
            command_line: command_line.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            json: self.json,
            voice: Voice { quiet: self.quiet, json: false },
        };
        perform(&options, &outputs, out)
    }
}

/// Replays, and writes down what it amounts to.
fn perform(options: &Options, outputs: &[Output], out: &mut impl Write) -> Result<i32> {
    let incident = Incident::open(&options.incident)?;
    let judged = run(options, &incident)?;
    judged.problems.iter().for_each(|text| options.voice.complain(text));
    let Judged { judgement, .. } = &judged;
    let report =
        Report::of(judgement, &facts(options, &judged), files::read_last(&options.incident).as_ref());
    // A disk that is full, or a terminal that is gone, keeps nobody from the rest.
    let mut done = vec![
        files::save(&options.incident, &report),
        files::save_faults(&options.incident, &judged.ledgers, told(&judged)),
        files::save_volatile(&options.incident, judgement, options.volatile.as_ref()),
    ];
    if outputs.iter().all(|it| it.to != To::Stdout) {
        let text = if options.json { report::json(&report) } else { report::text(&report) };
        let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        done.push(printed.or_else(super::quiet_if_pipe_broke));
    }
    done.extend(outputs.iter().map(|it| rendered::write(it, &report, out)));
    conclude(report.exit, done.into_iter().filter_map(Result::err), options.json)
}

/// The status to exit with where not all could be written: a failure is one all the same.
fn conclude(exit: u8, unwritten: impl Iterator<Item = ExpectedError>, json: bool) -> Result<i32> {
    let mut unwritten: Vec<ExpectedError> = unwritten.collect();
    let last = unwritten.pop_if(|_| exit != Exit::Fail as u8);
    unwritten.iter().for_each(|error| super::report::error(error, json));
    last.map_or(Ok(i32::from(exit)), Err)
}

/// What cannot be written is said before the first run, not after the last.
fn check_outputs(outputs: &[Output], json: bool) -> Result<()> {
    let to_stdout = outputs.iter().filter(|it| it.to == To::Stdout).count() + usize::from(json);
    if to_stdout > 1 {
        return Err(ExpectedError::new(Exit::Usage, "two reports cannot both go to standard output")
            .help("name a file for one: --report html=report.html"));
    }
    outputs.iter().try_for_each(Output::check)
}

/// What the judge does not know.
fn facts(options: &Options, judged: &Judged) -> Facts {
    let now = i64::try_from(clock::wall(clock::now()) / 1_000_000_000).unwrap_or(0);
    Facts {
        at: jiff::Timestamp::from_second(now).unwrap_or_default().to_string(),
        incident: options.incident.display().to_string(),
        time_scale: options.pace.time_scale,
        density: options.pace.density,
        fanout: options.pace.fanout,
        window_ns: options.window_ns,
        faults: faulted(options, judged),
        limiting: limited(options, judged),
        untested: judged.untested.clone(),
        problems: [&judged.notes[..], &judged.problems].concat(),
        substituted: judged.substituted.clone(),
        leaked: judged.leaked.clone(),
        stderr: judged.last_lines.clone(),
    }
}

/// What became of the faults; of those that happened, in the first run that diverged, else in the last one.
fn faulted(options: &Options, judged: &Judged) -> Option<Faulted> {
    if options.faults.is_empty() {
        return None;
    }
    Some(Faulted::of(options.faults.seed(), &judged.ledgers, told(judged)))
}

/// The place of the run whose faults are told.
fn told(judged: &Judged) -> usize {
    let diverged = judged.judgement.runs.iter().position(|run| run.divergences > 0);
    diverged.unwrap_or(judged.ledgers.len().saturating_sub(1))
}

/// What limited the rate of the runs that count.
fn limited(options: &Options, judged: &Judged) -> Option<Limiting> {
    let Judged { judgement, observed, .. } = judged;
    limiting(&Signs {
        runs: &observed.measured,
        waits: &observed.waits,
        paced_ns: judgement.rates.paced_ns / u64::from(judgement.executed()).max(1),
        late_p99_ns: judgement.rates.late_p99_ns,
        is_load: options.pace.fanout > 1 || options.window_ns > 0,
        has_missed: judgement.slo.iter().any(|it| !it.is_met),
        has_live: !options.live.is_empty() || options.on_unmatched == OnUnmatched::Passthrough,
    })
}

/// `http://HOST:PORT`, or `HOST:PORT`.
fn base(text: &str) -> Result<SocketAddr, String> {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    if rest.contains("://") {
        return Err("only http:// can be replayed to".to_owned());
    }
    let authority = rest.trim_end_matches('/');
    if authority.contains('/') {
        return Err("give it without a path: http://HOST:PORT".to_owned());
    }
    let authority = if let Some(port) = authority.strip_prefix(':') {
        format!("127.0.0.1:{port}")
    } else if authority.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let found: Vec<SocketAddr> =
        authority.to_socket_addrs().map_err(|error| format!("no address of it: {error}"))?.collect();
    // `localhost` is both, and most services listen on IPv4's.
    let first = found.iter().find(|it| it.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| "it has no address".to_owned())
}

/// `:PORT` is on loopback.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix(':').map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = text.parse().map_err(|_| "an address and a port, or `:PORT` for loopback")?;
    if !address.ip().is_loopback() {
        return Err("only addresses of loopback are listened on".to_owned());
    }
    Ok(address)
}

fn live(text: &str) -> Result<LiveRule, String> {
    let (dependency, at) = match text.split_once('=') {
        Some((dependency, at)) => (dependency, Some(at)),
        None => (text, None),
    };
    if dependency.is_empty() {
        return Err("name a dependency, as the incident does".to_owned());
    }
    if let Some(at) = at
        && !at.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    {
        return Err(format!("{at:?} is no HOST:PORT"));
    }
    Ok(LiveRule { dependency: dependency.to_owned(), to: at.map(str::to_owned) })
}

pub(super) fn scale(text: &str) -> Result<f64, String> {
    number(text).filter(|value| *value >= 0.0).ok_or_else(|| "a number from 0 to a million".to_owned())
}

fn density(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|value| *value > 0.0)
        .ok_or_else(|| "a number greater than 0, up to a million".to_owned())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite() && *value <= 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_host_and_a_port() {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(base("http://127.0.0.1:8084"), Ok(local(8084)));
        assert_eq!(base("127.0.0.1:8084/"), Ok(local(8084)));
        assert_eq!(base(":8084"), Ok(local(8084)));
        assert_eq!(base("http://127.0.0.1"), Ok(local(80)));
        assert_eq!(base("http://[::1]:1"), Ok("[::1]:1".parse().unwrap()));
        for wrong in ["https://127.0.0.1:1", "http://127.0.0.1:1/path", "", "http://127.0.0.1:99999"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stubs_listen_on_loopback() {
        assert_eq!(listen(":9000"), Ok("127.0.0.1:9000".parse().unwrap()));
        assert_eq!(listen("[::1]:9000"), Ok("[::1]:9000".parse().unwrap()));
        assert!(listen("0.0.0.0:9000").is_err() && listen("9000").is_err());
    }

    #[test]
    fn a_live_dependency_may_be_elsewhere() {
        let rule = |dependency: &str, at: Option<&str>| LiveRule {
            dependency: dependency.into(),
            to: at.map(str::to_owned),
        };
        assert_eq!(live("redis.test:6379"), Ok(rule("redis.test:6379", None)));
        assert_eq!(live("a=127.0.0.1:1"), Ok(rule("a", Some("127.0.0.1:1"))));
        assert!(live("=x:1").is_err() && live("a=x").is_err() && live("").is_err());
    }

    #[test]
    fn what_cannot_be_written_does_not_hide_a_failure() {
        let unwritten =
            || [Exit::Incident, Exit::Host].map(|exit| ExpectedError::new(exit, "full")).into_iter();
        assert_eq!(conclude(Exit::Fail as u8, unwritten(), false).unwrap(), Exit::Fail as i32);
        assert_eq!(conclude(Exit::Pass as u8, unwritten(), false).unwrap_err().exit, Exit::Host);
        assert_eq!(conclude(Exit::Incident as u8, std::iter::empty(), false).unwrap(), Exit::Incident as i32);
    }

    #[test]
    fn numbers_are_finite() {
        assert_eq!((scale("0"), scale("0.5")), (Ok(0.0), Ok(0.5)));
        assert!(
            scale("-1").is_err() && scale("nan").is_err() && scale("inf").is_err() && density("0").is_err()
        );
    }
}
