//! `cfadmin invalidate`: purges paths.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::{Client, Error, Invalidation},
    config::DEFAULT_MAX_WILDCARDS,
    cover::{Budget, cover},
    path::{Item, Kind},
    report::dollars,
    request::{InvalidationRequest, unique},
    site::DistributionId,
    text::{Plain, counted},
};

use crate::{
    Exit, LIMIT, Stop,
    account::{Connection, Session},
    changed::{self, Changed, Upload},
    confirm::confirm,
    follow::{MAX_TIMEOUT, follow, show},
    input::{STANDARD, read},
    objects::Paths,
    out::{Output, mark},
    target::{Match, Several, Target},
    typed::Typed,
};

/// Commands to copy from the help.
const EXAMPLES: &str = r#"Examples:
  cfadmin invalidate www.example.com /index.html "/docs/*"
  cfadmin invalidate https://www.example.com/docs/a.html --wait
  aws s3 sync --delete build s3://my-bucket | cfadmin invalidate s3://my-bucket --changed -
  cfadmin invalidate E1A2B3C4D5E6F7 "/*" --dry-run"#;

/// Purge paths
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "they are the flags of a command line")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Paths, wildcards (/docs/*) and cache tags (#tag); "-" for standard input [default: read from standard input]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,

    /// Read paths from a file, one per line; "-" for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Paths in the file or standard input end with NUL instead of a newline
    #[arg(short = '0', long)]
    null: bool,

    /// Treat the paths as object keys: encode them, and allow no wildcards or tags. With a bucket as target, purge
    /// every path under which its distributions serve these objects
    #[arg(short, long)]
    keys: bool,

    /// Purge the objects that an upload changed: the output of "aws s3 sync", or an S3 URI on each line; "-" for
    /// standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["paths", "file", "null", "keys"])]
    changed: Option<PathBuf>,

    /// Purge in every distribution and tenant that the target stands for
    #[arg(short, long)]
    all: bool,

    /// Wait until the invalidation is completed
    #[arg(short, long)]
    wait: bool,

    /// Maximum time to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "wait", value_parser = clap::value_parser!(u64).range(..=MAX_TIMEOUT))]
    timeout: u64,

    /// Show what would be sent without sending it
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Maximum number of paths in one request
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=3_000))]
    max_paths: u16,

    /// Fold the paths into wildcards if they exceed --max-paths
    #[arg(long, conflicts_with = "split")]
    fold: bool,

    /// Send several requests if the paths exceed --max-paths
    #[arg(long)]
    split: bool,

    /// Caller reference; CloudFront runs a request with the same reference and paths only once
    #[arg(long, value_name = "TEXT")]
    caller_reference: Option<String>,

    /// Purge everything without confirmation
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let wanted = arguments.wanted()?;
    let account = arguments.connection.open().await?;
    let several = if arguments.all { Several::All } else { Several::WithoutAll };
    let Typed { items, notes, mut why_everything } = match wanted {
        Wanted::Items(typed) => typed,
        Wanted::Objects(objects) => return arguments.purge_objects(&account, &objects, several).await,
    };
    arguments.note(&notes);
    let matches = arguments.target.find(&account, several).await?;
    let reference = arguments.caller_reference.clone().unwrap_or_else(unique);
    if items.iter().any(|item| item.kind() == Kind::Tag) {
        let mut checked = Vec::new();
        for one in &matches {
            // Tenants have the settings of their distribution.
            let of = one.parent.as_ref().unwrap_or(&one.id);
            if !checked.contains(&of) {
                reads_tags(&account.client, of).await?;
                checked.push(of);
            }
        }
    }
    let count = items.len();
    let is_typed = items.contains(&Item::everything());
    let parts = arguments.parts(items, arguments.fold)?;
    if parts.concat().contains(&Item::everything()) && !is_typed {
        why_everything = Some(format!("--fold makes it of {}", counted(count, "path")));
    }
    if arguments.yes || arguments.dry_run {
        arguments.note(why_everything.as_slice());
    } else if parts.concat().contains(&Item::everything()) {
        confirm(&account, &matches, why_everything.as_deref()).await?;
    }
    let planned = matches.len() * parts.iter().map(Vec::len).sum::<usize>();
    // Send all requests before waiting for the first.
    let (mut sent, mut failure) = arguments.send(&account.client, matches, &parts, &reference).await?;
    if let Some(error) = failure.take_if(|error| sent.is_empty() && error.is_no_such_distribution()) {
        let tenants = arguments.target.instead(&account, error, several).await?;
        (sent, failure) = arguments.send(&account.client, tenants, &parts, &reference).await?;
    }
    arguments.finish(&account, planned, sent, failure).await
}

/// Maximum number of objects to name that need no purge.
const MOST_IGNORED: usize = 5;

/// The things to purge that a command line names.
enum Wanted {
    /// Items, as they are sent to every distribution.
    Items(Typed),
    /// Objects, whose paths depend on the distribution.
    Objects(Vec<Changed>),
}

/// Rejects cache tags for a distribution without `CacheTagConfig`: CloudFront would purge nothing.
async fn reads_tags(client: &Client, distribution: &DistributionId) -> Result<(), Stop> {
    let details = if distribution.is_tenant() {
        match client.tenant(distribution.as_str(), LIMIT).await {
            Ok(tenant) => client.details(&tenant.distribution, LIMIT).await,
            Err(error) => Err(error),
        }
    } else {
        client.details(distribution, LIMIT).await
    };
    match details {
        Ok(details) if details.has_cache_tags => Ok(()),
        Ok(_) => Err(Stop::Usage(format!(
            "{distribution} reads no cache tags, so purging one does nothing; set CacheTagConfig in its \
             configuration, or purge paths"
        ))),
        Err(error) if error.is_not_found() => Err(error.into()),
        Err(error) => {
            eprintln!("cfadmin: cannot check whether {distribution} reads cache tags: {error}");
            Ok(())
        }
    }
}

impl Arguments {
    /// Returns whether the command line names no paths, apart from that of a URL that is the target.
    const fn is_alone(&self) -> bool {
        self.paths.is_empty() && self.file.is_none()
    }

    /// Reads what to purge.
    fn wanted(&self) -> Result<Wanted, Stop> {
        if let Some(file) = &self.changed {
            return self.objects_of(changed::read(file)?).map(Wanted::Objects);
        }
        match self.target.bucket() {
            Some(bucket) if self.keys => {
                let object = |key: Vec<u8>| Changed { bucket: bucket.to_owned(), key, is_deleted: false };
                Ok(Wanted::Objects(self.typed()?.into_iter().map(object).collect()))
            }
            _ => self.items().map(Wanted::Items),
        }
    }

    /// Returns the objects of an upload that the target concerns.
    fn objects_of(&self, upload: Upload) -> Result<Vec<Changed>, Stop> {
        let Upload { mut changed, failed, is_dry_run } = upload;
        if is_dry_run && !self.dry_run {
            let why = "the upload was a dry run, which changed nothing; to see what would be purged, pass --dry-run";
            return Err(Stop::Usage(why.to_owned()));
        }
        let failed: Vec<String> = failed.iter().map(|line| format!("not purged: {line}")).collect();
        self.note(&failed);
        if let Some(bucket) = self.target.bucket() {
            let all = changed.len();
            changed.retain(|object| object.bucket == bucket);
            if changed.len() < all {
                let others = counted(all - changed.len(), "object");
                self.note(&[format!("{others} not in {bucket:?} ignored")]);
            }
        }
        Ok(changed)
    }

    /// Purges objects in the distributions of the target that serve them.
    async fn purge_objects(
        &self,
        account: &Session,
        objects: &[Changed],
        several: Several,
    ) -> Result<Exit, Stop> {
        let matches = self.target.find(account, several).await?;
        let paths = Paths::of(objects, &account.config, &account.client).await?;
        let mut requests = Vec::new();
        for one in matches {
            let items = paths.of_distribution(&one.id);
            if !items.is_empty() {
                requests.push((one, self.parts(items, !self.split)?));
            }
        }
        let named = paths.ignored.iter().take(MOST_IGNORED).map(|object| format!("not purged: {object}"));
        self.note(&named.collect::<Vec<_>>());
        if let more @ 1.. = paths.ignored.len().saturating_sub(MOST_IGNORED) {
            self.note(&[format!("… and {more} more")]);
        }
        if requests.is_empty() {
            self.note(&["nothing to purge".to_owned()]);
            return Ok(Exit::Done);
        }
        let everything = Item::everything();
        let (whole, others): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|(_, parts)| parts.concat().contains(&everything));
        let (matches, parts): (Vec<Match>, Vec<_>) = whole.into_iter().unzip();
        if !matches.is_empty() && !self.yes && !self.dry_run {
            confirm(account, &matches, Some("the changed objects need it, see cfadmin explain")).await?;
        }
        let reference = self.caller_reference.clone().unwrap_or_else(unique);
        let (mut sent, mut failure, mut planned) = (Vec::new(), None, 0);
        for (one, parts) in matches.into_iter().zip(parts).chain(others) {
            planned += parts.iter().map(Vec::len).sum::<usize>();
            let (created, error) = self.send(&account.client, vec![one], &parts, &reference).await?;
            sent.extend(created);
            failure = failure.or(error);
        }
        self.finish(account, planned, sent, failure).await
    }

    /// Says what the invalidations cost, and waits until they are completed, if that is wanted. `failure` is the first
    /// error so far.
    async fn finish(
        &self,
        account: &Session,
        planned: usize,
        sent: Vec<(DistributionId, Invalidation)>,
        mut failure: Option<Error>,
    ) -> Result<Exit, Stop> {
        let mut exit = Exit::Done;
        let paths = if self.dry_run { planned } else { sent.iter().map(|(_, one)| one.paths.len()).sum() };
        self.note_cost(paths);
        let limit = Instant::now() + Duration::from_secs(self.timeout);
        for (distribution, created) in sent.into_iter().filter(|_| self.wait) {
            let left = limit.saturating_duration_since(Instant::now());
            let (ended, seen) = if exit == Exit::Interrupted {
                (exit, None)
            } else {
                match follow(account, &distribution, &created.id, left, &self.output).await {
                    Ok(followed) => followed,
                    Err(error) => {
                        failure = failure.or(Some(error));
                        (exit, None)
                    }
                }
            };
            show(&self.output, &distribution, &seen.unwrap_or(created), false)?;
            exit = if ended == Exit::Done { exit } else { ended };
        }
        failure.map_or(Ok(exit), |error| Err(error.into()))
    }

    /// Reads the arguments, and the lines of the file or of standard input.
    fn typed(&self) -> Result<Vec<Vec<u8>>, Stop> {
        let standard = self.paths.iter().any(|path| path == STANDARD);
        let paths = self.paths.iter().filter(|path| *path != STANDARD);
        let mut typed: Vec<Vec<u8>> = paths.map(|path| path.clone().into_bytes()).collect();
        // Browsers add the slash to a host.
        let of_url = self.target.path().filter(|path| *path != "/" || self.is_alone());
        typed.extend(of_url.map(|path| path.as_bytes().to_vec()));
        let reads_input = standard || typed.is_empty() && self.file.is_none();
        for file in self.file.as_deref().into_iter().chain(reads_input.then(|| Path::new(STANDARD))) {
            let bytes = read(file, "paths, one on each line,")?;
            // Some editors and shells write a byte order mark first.
            let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
            let end = if self.null { 0 } else { b'\n' };
            let lines = bytes.split(|byte| *byte == end);
            let lines = lines.map(|line| match line {
                line if self.null => line,
                // Tools pad their lines. A key that ends in a blank needs --null.
                line if self.keys => line.trim_ascii_end(),
                line => line.strip_suffix(b"\r").unwrap_or(line),
            });
            typed.extend(lines.filter(|line| !line.trim_ascii().is_empty()).map(<[u8]>::to_vec));
        }
        if typed.is_empty() {
            return Err(Stop::Usage("no paths given; name some, or \"/*\" for everything".to_owned()));
        }
        Ok(typed)
    }

    /// Reads the items to purge, sorted and without duplicates.
    fn items(&self) -> Result<Typed, Stop> {
        let typed = self.typed()?;
        let parse = |text: &Vec<u8>| {
            if self.keys {
                return Ok((text.clone(), Item::of_any_endpoint(text)));
            }
            let text = std::str::from_utf8(text)
                .map_err(|_| format!("{:?} is not UTF-8", String::from_utf8_lossy(text)))?;
            let item = text.parse::<Item>().map_err(|why| why.to_string())?;
            Ok((text.as_bytes().to_vec(), vec![item]))
        };
        let (items, wrong): (Vec<_>, Vec<_>) = typed.iter().map(parse).partition(Result::is_ok);
        let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
        if !wrong.is_empty() {
            return Err(Stop::Usage(wrong.join("\n")));
        }
        let mut typed = Typed::default();
        items.into_iter().filter_map(Result::ok).for_each(|(text, items)| typed.add(&text, items));
        typed.reduce();
        Ok(typed)
    }

    /// Splits or folds the items into requests of at most `--max-paths`.
    fn parts(&self, items: Vec<Item>, folds: bool) -> Result<Vec<Vec<Item>>, Stop> {
        let most = usize::from(self.max_paths);
        if items.len() <= most {
            return Ok(vec![items]);
        }
        if folds {
            let wildcards = items.iter().filter(|item| item.as_str().ends_with('*')).count();
            let budget = Budget { items: most, wildcards: wildcards.max(DEFAULT_MAX_WILDCARDS) };
            return Ok(vec![cover(items, budget).items.into_iter().map(|one| one.item).collect()]);
        }
        if self.split {
            return Ok(items.chunks(most).map(<[Item]>::to_vec).collect());
        }
        Err(Stop::Usage(format!(
            "{} paths exceed the maximum of {most} in one request; --fold them into wildcards, --split them into \
             several requests, or raise --max-paths",
            items.len()
        )))
    }

    /// Sends the requests, or shows them for a dry run. If one fails, still sends the others. Returns
    /// the invalidations and the first error.
    async fn send(
        &self,
        client: &Client,
        matches: Vec<Match>,
        parts: &[Vec<Item>],
        reference: &str,
    ) -> Result<(Vec<(DistributionId, Invalidation)>, Option<Error>), Stop> {
        let (mut sent, mut failure) = (Vec::new(), None);
        for Match { id, .. } in matches {
            for (number, part) in parts.iter().enumerate() {
                // Each request needs a caller reference of its own.
                let reference = if parts.len() == 1 {
                    reference.to_owned()
                } else {
                    format!("{reference}-{}", number + 1)
                };
                let request = InvalidationRequest::new(id.clone()).items(part.clone());
                let request = request.caller_reference(reference);
                if self.dry_run {
                    self.show_plan(&id, &request)?;
                    continue;
                }
                match request.send(client).await {
                    Ok(created) => {
                        // With --wait, JSON output is one document per invalidation, printed at the end.
                        if !self.wait || !self.output.json {
                            show(&self.output, &id, &created, false)?;
                        }
                        sent.push((id.clone(), created));
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        Ok((sent, failure))
    }

    /// Prints notes for the person who typed the command.
    fn note(&self, notes: &[String]) {
        for note in notes.iter().filter(|_| !self.output.quiet) {
            eprintln!("{}", Plain(note));
        }
    }

    /// Prints what paths cost, if they are not free.
    fn note_cost(&self, paths: usize) {
        if paths > 0 && !self.output.json {
            let (verb, dollars) = (if self.dry_run { "would cost" } else { "cost" }, dollars(paths));
            let paths = counted(paths, "path");
            let verb = if paths == "1 path" && !self.dry_run { "costs" } else { verb };
            self.note(&[format!(
                "{paths} {verb} ${dollars}, unless among the first 1,000 of the month{}",
                mark()
            )]);
        }
    }

    fn show_plan(&self, distribution: &DistributionId, request: &InvalidationRequest) -> Result<(), Stop> {
        let paths: Vec<&str> = request.requested().map(Item::as_str).collect();
        let document = serde_json::json!({"distribution": distribution, "paths": paths});
        self.output.print(&document, |out| {
            writeln!(out, "{distribution}  would purge {}", counted(paths.len(), "path"))?;
            paths.iter().try_for_each(|path| writeln!(out, "  {path}"))
        })
    }
}
