//! Random changes to the bucket.

use std::time::{Duration, SystemTime};

use cloudfront_invalidator::local::{DeleteResult, Deleted, PutResult, StorageClass, Upload, Versioning};

use super::{BUCKET, DAY, Fresh, KEYS, Made};
use crate::support::S3Event;

impl Fresh {
    /// Makes one random change to the bucket, and sends its events.
    pub(super) fn change(&mut self) {
        let key = self.key();
        match self.dice.of(100) {
            0..31 => self.put(key, self.uploaded(key)),
            31..45 => {
                let content = [&b"one"[..], b"two", b"three"][self.dice.of(3)].to_vec();
                self.put(key, Upload { content, ..self.uploaded(key) });
            }
            45..54 => {
                let headers = self.headers();
                self.put(key, Upload { headers, ..self.uploaded(key) });
            }
            54..61 => self.delete(key, "ObjectRemoved:DeleteMarkerCreated"),
            61..63 => self.delete(key, "LifecycleExpiration:DeleteMarkerCreated"),
            63..71 => {
                let of_key = |made: &&Made| made.key == key;
                let most_recent = self.made.iter().rev().filter(of_key).take(3).map(|made| made.id.clone());
                let ids: Vec<String> = most_recent.collect();
                if let Some(id) = ids.get(self.dice.of(ids.len())) {
                    self.delete_version(key, id, "ObjectRemoved:Delete");
                }
            }
            71..82 => {
                let ids = self.made.iter().filter(|made| made.key == key).map(|made| made.id.clone());
                for id in ids.collect::<Vec<_>>() {
                    self.delete_version(key, &id, "ObjectRemoved:Delete");
                }
            }
            82..85 => {
                let storage_class = [StorageClass::Glacier, StorageClass::StandardIa][self.dice.of(2)];
                self.put(key, Upload { storage_class, ..self.uploaded(key) });
            }
            85..88 => {
                // As if the digests were too short: an entity tag alone is not enough.
                let content = vec![b'x'; 1 + self.dice.of(2)];
                self.put(key, Upload { content, etag: Some("the-same".to_owned()), ..self.uploaded(key) });
            }
            88..92 => {
                // A multipart upload, which has the time at which it began. Lifecycle rules count from it.
                let is_long = self.dice.happens(500);
                let now = if is_long { SystemTime::now() } else { self.server.now() };
                let began = now - if is_long { DAY } else { Duration::from_hours(1) };
                let content = [&b"one"[..], b"two"][self.dice.of(2)].to_vec();
                self.put(key, Upload { began: Some(began), content, ..self.uploaded(key) });
                if is_long {
                    self.expire();
                }
            }
            92..95 => {
                self.server.set_versioning(BUCKET, Versioning::Suspended);
                match self.dice.of(3) {
                    0 => self.delete(key, "ObjectRemoved:DeleteMarkerCreated"),
                    _ => self.put(key, self.uploaded(key)),
                }
                self.server.set_versioning(BUCKET, Versioning::Enabled);
            }
            // A whole deploy.
            _ => KEYS.into_iter().for_each(|key| self.put(key, self.uploaded(key))),
        }
    }

    /// Returns a random key: often one of two that change most.
    pub(super) fn key(&mut self) -> &'static str {
        if self.dice.happens(600) { self.often[self.dice.of(2)] } else { KEYS[self.dice.of(KEYS.len())] }
    }

    /// Returns random headers. Some of them make no difference.
    fn headers(&mut self) -> Vec<(String, String)> {
        let names = ["Cache-Control", "Content-Type", "x-amz-meta-author", "x-amz-meta-mtime"];
        let some: Vec<&str> = names.into_iter().filter(|_| self.dice.happens(400)).collect();
        some.into_iter().map(|name| (name.to_owned(), format!("text/{}", self.dice.of(2)))).collect()
    }

    /// Returns what was uploaded last under a key, as an upload of its own.
    fn uploaded(&self, key: &'static str) -> Upload {
        let last = self.current.get(key).cloned();
        let last = last.unwrap_or_else(|| Upload { content: b"one".to_vec(), ..Upload::default() });
        Upload { storage_class: StorageClass::Standard, etag: None, began: None, ..last }
    }

    fn put(&mut self, key: &'static str, upload: Upload) {
        let text = String::from_utf8_lossy(&upload.content);
        let about = (&upload.headers, upload.storage_class.name(), upload.began.is_some());
        let what = format!("is {text:?} {about:?}");
        self.current.insert(key, upload.clone());
        let put: PutResult = self.server.put_object(BUCKET, key, upload);
        self.note(key, &format!("{what}, version {:?}", put.version_id));
        let id = put.version_id.clone().expect("a bucket with versions");
        self.made.push(Made { key, id });
        let event = S3Event::put(BUCKET, key, &put);
        self.send(&event);
        self.distributions.iter_mut().for_each(|one| _ = one.due.insert(key));
    }

    fn delete(&mut self, key: &'static str, name: &str) {
        let deleted = self.server.delete(BUCKET, key);
        if let Deleted::Marker { version_id } = &deleted.deleted {
            self.made.push(Made { key, id: version_id.clone() });
        }
        self.deleted(key, &deleted, name);
    }

    fn delete_version(&mut self, key: &'static str, id: &str, name: &str) {
        let deleted = self.server.delete_version(BUCKET, key, id);
        self.made.retain(|made| made.key != key || made.id != id);
        self.deleted(key, &deleted, name);
    }

    fn deleted(&mut self, key: &'static str, deleted: &DeleteResult, name: &str) {
        self.note(key, &format!("{name} {:?}", deleted.deleted));
        if let Some(event) = S3Event::deleted(BUCKET, key, deleted) {
            self.send(&event.named(name));
        }
        for one in &mut self.distributions {
            // A lifecycle rule deletes only what viewers do not get, and the function ignores it.
            if name != "LifecycleExpiration:Delete" {
                one.due.insert(key);
            }
        }
    }

    /// Lets S3's lifecycle rules delete the versions that were replaced a day ago, and the delete
    /// markers without a version.
    pub(super) fn expire(&mut self) {
        for (key, id) in self.server.expire_noncurrent(BUCKET, DAY) {
            let key = KEYS.into_iter().find(|known| *known == key).expect("a known key");
            self.note(key, &format!("version {id} expired"));
            self.made.retain(|made| made.key != key || made.id != id);
        }
        for key in KEYS {
            let ids: Vec<String> =
                self.made.iter().filter(|made| made.key == key).map(|made| made.id.clone()).collect();
            if let ([id], None) = (&*ids, self.server.object(BUCKET, key)) {
                self.delete_version(key, id, "LifecycleExpiration:Delete");
            }
        }
    }
}
