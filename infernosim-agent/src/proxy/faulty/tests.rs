use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::chain::{Chain, Piece};
use super::{Course, Direction, Ending, Passage, Toxic, What, relay};

const MS: u64 = 1_000_000;

/// What becomes of pieces downstream: (when in ms, bytes or what else).
fn through(whats: &[What], pieces: &[(u64, &str)]) -> Vec<(u64, String)> {
    let toxics: Vec<Toxic> =
        whats.iter().map(|what| Toxic::new(Direction::Downstream, what.clone(), 7)).collect();
    let (mut chain, mut queue) = (Chain::new(&toxics, Direction::Downstream, 1), VecDeque::new());
    chain.begin(0, &mut queue);
    for (at, text) in pieces {
        let piece =
            if text.is_empty() { Piece::End } else { Piece::Bytes(Bytes::copy_from_slice(text.as_bytes())) };
        chain.push(at * MS, piece, &mut queue);
    }
    let text = |piece: Piece| match piece {
        Piece::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    };
    queue.into_iter().map(|due| (due.at / MS, text(due.piece))).collect()
}

fn said(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect()
}

#[test]
fn without_a_stage_all_passes_as_it_comes() {
    assert_eq!(through(&[], &[(0, "ab"), (5, "c"), (6, "")]), said(&[(0, "ab"), (5, "c"), (6, "End")]));
}

#[test]
fn a_delay_shifts_all_of_it_and_none_overtakes() {
    let late = What::Latency { ns: 100 * MS, jitter_ns: 0 };
    assert_eq!(through(&[late], &[(0, "a"), (3, "")]), said(&[(100, "a"), (103, "End")]));
    let shaky = What::Latency { ns: 100 * MS, jitter_ns: 90 * MS };
    let pieces: Vec<(u64, &str)> = (0..100).map(|at| (at, "x")).collect();
    let out = through(&[shaky], &pieces);
    assert!(out.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{out:?}");
    assert!(out.iter().zip(&pieces).all(|(out, (at, _))| out.0 >= at + 10), "{out:?}");
    // Those that came with less wait for those before them, and no two runs differ.
    assert!(out.iter().any(|(at, _)| *at > 150) && out[0].0 < 190);
}

#[test]
fn a_narrow_line_takes_its_time() {
    let text = "x".repeat(1000);
    let out = through(&[What::Bandwidth(1000)], &[(0, &text), (0, "")]);
    assert_eq!(out.len(), 51, "20 bytes every 20 ms");
    assert_eq!((out[0].0, out[49].0), (20, 1000));
    assert_eq!(out[50], (1000, "End".to_owned()));
    // Idle time is not saved up.
    assert_eq!(through(&[What::Bandwidth(1000)], &[(500, "x")]), said(&[(501, "x")]));
}

#[test]
fn slices_are_small_and_apart() {
    let slice = What::Slice { size: 2, variation: 0, delay_ns: 10 * MS };
    assert_eq!(through(&[slice], &[(0, "abcde")]), said(&[(0, "ab"), (10, "cd"), (20, "e")]));
    let slice = What::Slice { size: 4, variation: 2, delay_ns: 0 };
    let out = through(&[slice], &[(0, &"x".repeat(400))]);
    assert!(out[..out.len() - 1].iter().all(|(_, part)| (2..=6).contains(&part.len())), "{out:?}");
    assert!(out.iter().any(|(_, part)| part.len() == 2) && out.iter().any(|(_, part)| part.len() == 6));
}

#[test]
fn what_is_seen_of_a_later_piece_is_told() {
    let corrupt = What::Corrupt { bytes: 200, key: 1 };
    for what in [What::Limit(3), What::Reset { after_ns: 0, bytes: Some(3) }, What::SlowClose(MS), corrupt] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        let mut toxic = Toxic::new(Direction::Downstream, what.clone(), 1);
        toxic.told = Some(Arc::new(move |text| hears.lock().unwrap().push(text)));
        let (mut chain, mut queue) = (Chain::new(&[toxic], Direction::Downstream, 1), VecDeque::new());
        // Of 64 bytes one is spoilt: the first of them is not.
        for piece in [Piece::Bytes("N".into()), Piece::Bytes("x".repeat(100).into()), Piece::End] {
            chain.push(0, piece, &mut queue);
        }
        queue.into_iter().flat_map(|due| due.notes).for_each(|(told, note)| told(note));
        assert_eq!(told.lock().unwrap().len(), 1, "{what:?}");
    }
}

#[test]
fn endings() {
    assert_eq!(
        through(&[What::Limit(3)], &[(0, "ab"), (1, "cdef"), (2, "x")]),
        said(&[(0, "ab"), (1, "c"), (1, "Close")])
    );
    let reset = |bytes| What::Reset { after_ns: 0, bytes };
    assert_eq!(through(&[reset(Some(1))], &[(0, "ab")]), said(&[(0, "a"), (0, "Reset")]));
    assert_eq!(through(&[reset(None)], &[(4, "ab")]), said(&[(0, "Reset")]));
    let later = What::Reset { after_ns: 30 * MS, bytes: None };
    assert_eq!(through(&[later], &[(4, "ab")]), said(&[(30, "Reset")]));
    assert_eq!(through(&[What::SlowClose(9 * MS)], &[(0, "a"), (1, "")]), said(&[(0, "a"), (10, "End")]));
    assert_eq!(through(&[What::Silence(None)], &[(0, "a"), (1, "")]), said(&[(1, "End")]));
    assert_eq!(through(&[What::Silence(Some(5 * MS))], &[(0, "a")]), said(&[(5, "Close")]));
    assert_eq!(through(&[What::HalfClose], &[(3, "a")]), said(&[(0, "End")]));
}

#[test]
fn as_many_bytes_are_spoilt_as_were_asked_for() {
    let text = "x".repeat(1000);
    for count in [1, 5] {
        let out = through(&[What::Corrupt { bytes: count, key: 3 }], &[(0, &text[..10]), (0, &text[10..])]);
        let toxics = [Toxic::new(Direction::Downstream, What::Corrupt { bytes: count, key: 3 }, 0)];
        let (mut chain, mut queue) = (Chain::new(&toxics, Direction::Downstream, 9), VecDeque::new());
        chain.push(0, Piece::Bytes(Bytes::from(text.clone())), &mut queue);
        let Piece::Bytes(bytes) = &queue[0].piece else { panic!("no bytes") };
        assert_eq!(bytes.iter().filter(|byte| **byte != b'x').count() as u64, count);
        // However the bytes come.
        let joined: Vec<u8> = out.iter().flat_map(|(_, part)| part.bytes()).collect();
        assert!(joined != text.as_bytes());
    }
}

#[test]
fn stages_work_one_behind_the_other() {
    let chain = [What::Slice { size: 1, variation: 0, delay_ns: 5 * MS }, What::Limit(2), late(100)];
    assert_eq!(through(&chain, &[(0, "abc")]), said(&[(100, "a"), (105, "b"), (105, "Close")]));
}

fn late(ms: u64) -> What {
    What::Latency { ns: ms * MS, jitter_ns: 0 }
}

#[test]
fn a_share_of_the_connections_is_hit_and_always_the_same_ones() {
    let toxic = Toxic { toxicity: 0.3, ..Toxic::new(Direction::Upstream, late(1), 42) };
    let hit: Vec<u64> = (0..10_000).filter(|connection| toxic.hits(*connection)).collect();
    assert!((2_800..3_200).contains(&hit.len()), "{}", hit.len());
    assert_eq!(hit, (0..10_000).filter(|connection| toxic.clone().hits(*connection)).collect::<Vec<_>>());
    let never = Toxic { toxicity: 0.0, ..toxic };
    assert!((0..10_000).all(|connection| !never.hits(connection)));
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

struct Relayed {
    client: TcpStream,
    server: TcpStream,
    change: watch::Sender<Arc<Vec<Toxic>>>,
    passage: watch::Sender<Passage>,
    relay: tokio::task::JoinHandle<Ending>,
}

async fn relayed(toxics: Vec<Toxic>) -> Relayed {
    let ((client, a), (b, server)) = (pair().await, pair().await);
    let (change, toxics) = watch::channel(Arc::new(toxics));
    let passage = watch::Sender::default();
    let course = Course { toxics, passage: passage.subscribe(), connection: 1 };
    let relay = tokio::spawn(relay(a, b, Bytes::new(), course));
    Relayed { client, server, change, passage, relay }
}

fn down(what: What) -> Toxic {
    Toxic::new(Direction::Downstream, what, 7)
}

#[tokio::test]
async fn bytes_and_both_fins_pass() {
    let mut it = relayed(Vec::new()).await;
    it.client.write_all(b"ask").await.unwrap();
    it.client.shutdown().await.unwrap();
    let mut text = String::new();
    it.server.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "ask");
    it.server.write_all(b"answer").await.unwrap();
    drop(it.server);
    text.clear();
    it.client.read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), it.relay.await.unwrap()), ("answer", Ending::Closed));
}

#[tokio::test]
async fn a_reset_passes() {
    let mut it = relayed(Vec::new()).await;
    it.server.set_zero_linger().unwrap();
    drop(it.server);
    let error = it.client.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(it.relay.await.unwrap(), Ending::Reset);
}

#[tokio::test]
async fn a_reset_comes_behind_its_bytes_and_is_told_then() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let hears = Arc::clone(&heard);
    let mut toxic = down(What::Reset { after_ns: 0, bytes: Some(4) });
    toxic.told = Some(Arc::new(move |text| hears.lock().unwrap().push(text)));
    let mut it = relayed(vec![toxic]).await;
    it.server.write_all(b"ab").await.unwrap();
    let mut first = [0; 2];
    it.client.read_exact(&mut first).await.unwrap();
    it.server.write_all(b"cdefgh").await.unwrap();
    assert_eq!(it.relay.await.unwrap(), Ending::Reset);
    let mut got = Vec::new();
    let error = it.client.read_to_end(&mut got).await.unwrap_err();
    // A RST makes the kernel forget what was not read yet (tcp_reset), or not, as it came.
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(got.is_empty() || got == b"cd");
    assert_eq!(*heard.lock().unwrap(), ["reset behind 4 bytes"]);
}

#[tokio::test]
async fn what_changes_holds_for_open_connections() {
    let mut it = relayed(vec![down(What::Silence(None))]).await;
    it.server.write_all(b"lost").await.unwrap();
    let mut byte = [0; 1];
    let silent = tokio::time::timeout(Duration::from_millis(50), it.client.read(&mut byte)).await;
    assert!(silent.is_err());
    it.change.send(Arc::new(vec![down(late(60))])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let began = Instant::now();
    it.server.write_all(b"x").await.unwrap();
    assert_eq!(it.client.read(&mut byte).await.unwrap(), 1);
    assert_eq!(&byte, b"x");
    assert!(began.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn what_is_held_comes_in_order_once_it_is_open_again() {
    let limited = What::Limit(6);
    let mut it = relayed(vec![down(limited)]).await;
    it.server.write_all(b"ab").await.unwrap();
    let mut got = [0; 8];
    assert_eq!(it.client.read(&mut got).await.unwrap(), 2);
    it.passage.send_replace(Passage::Held);
    it.server.write_all(b"cd").await.unwrap();
    it.client.write_all(b"x").await.unwrap();
    it.client.shutdown().await.unwrap();
    for end in [&mut it.client, &mut it.server] {
        assert!(tokio::time::timeout(Duration::from_millis(50), end.read(&mut got)).await.is_err());
    }
    it.server.write_all(b"efgh").await.unwrap();
    it.passage.send_replace(Passage::Open);
    let (mut down, mut up) = (String::new(), String::new());
    it.server.read_to_string(&mut up).await.unwrap();
    it.client.read_to_string(&mut down).await.unwrap();
    // The disturbances have not begun anew.
    assert_eq!((up.as_str(), down.as_str()), ("x", "cdef"));
}

#[tokio::test]
async fn what_is_cut_is_reset_however_full_it_is() {
    let mut it = relayed(Vec::new()).await;
    let much = vec![b'x'; 1 << 20];
    // Nobody reads.
    while tokio::time::timeout(Duration::from_millis(50), it.server.write_all(&much)).await.is_ok() {}
    it.passage.send_replace(Passage::Cut);
    assert_eq!(it.relay.await.unwrap(), Ending::Reset);
    let error = it.server.write_all(b"x").await.unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe));
}

#[tokio::test]
async fn who_breaks_while_it_is_held_is_let_go() {
    let mut it = relayed(Vec::new()).await;
    it.passage.send_replace(Passage::Held);
    it.client.set_zero_linger().unwrap();
    drop(it.client);
    assert_eq!(it.relay.await.unwrap(), Ending::Reset);
    assert!(it.server.read(&mut [0; 1]).await.is_err());
}
