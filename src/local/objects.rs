//! The functions of the server that change buckets, and the simulated time.

use std::time::{Duration, SystemTime};

use super::{
    Server, lock,
    s3::{DeleteResult, Encryption, Object, PutResult, Upload, Versioning},
};

#[expect(clippy::must_use_candidate, reason = "not every caller that changes a bucket needs the result")]
impl Server {
    /// Puts an object without headers into a bucket, or deletes it if `content` is `None`.
    ///
    /// Viewers get it from the distributions that serve it according to their configuration, if
    /// they send one of the distribution's names, or a domain of one of its tenants, as the host.
    /// Each answer stays in the cache until it is purged, unless
    /// [`Options::errors_expire`](super::Options::errors_expire) is set.
    pub fn put(&self, bucket: &str, key: &str, content: Option<&[u8]>) {
        match content {
            Some(content) => {
                self.put_object(bucket, key, Upload { content: content.to_vec(), ..Upload::default() });
            }
            None => {
                self.delete(bucket, key);
            }
        }
    }

    /// Puts an object into a bucket, which is created if there is none.
    pub fn put_object(&self, bucket: &str, key: &str, upload: Upload) -> PutResult {
        let mut store = lock(&self.store);
        let now = store.clock.now();
        store.buckets.put(bucket, key, upload, now)
    }

    /// Deletes an object. If the bucket keeps versions, this creates a delete marker.
    pub fn delete(&self, bucket: &str, key: &str) -> DeleteResult {
        let mut store = lock(&self.store);
        let now = store.clock.now();
        store.buckets.delete(bucket, key, now)
    }

    /// Deletes a version or a delete marker for good. The version before it may then be the current
    /// one.
    pub fn delete_version(&self, bucket: &str, key: &str, version_id: &str) -> DeleteResult {
        let mut store = lock(&self.store);
        let now = store.clock.now();
        store.buckets.delete_version(bucket, key, version_id, now)
    }

    /// Deletes the versions that ceased to be current at least `older_than` ago, as a lifecycle rule
    /// does. Returns their keys and ids.
    pub fn expire_noncurrent(&self, bucket: &str, older_than: Duration) -> Vec<(String, String)> {
        let mut store = lock(&self.store);
        let now = store.clock.now();
        store.buckets.expire_noncurrent(bucket, older_than, now)
    }

    /// Returns an object as it is now. `None` if there is none, or if its current version is a delete
    /// marker.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        lock(&self.store).buckets.existing(bucket)?.object(key)
    }

    /// Sets whether a bucket keeps versions. Those that it has stay.
    pub fn set_versioning(&self, bucket: &str, versioning: Versioning) {
        lock(&self.store).buckets.bucket(bucket).versioning = versioning;
    }

    /// Sets the encryption of the objects that are put into a bucket from now on.
    pub fn set_encryption(&self, bucket: &str, encryption: Encryption) {
        lock(&self.store).buckets.bucket(bucket).encryption = encryption;
    }

    /// Sets the lifecycle configuration of a bucket, an element `LifecycleConfiguration`. `None` for
    /// none. It has no effect of its own.
    pub fn set_lifecycle(&self, bucket: &str, xml: Option<&str>) {
        lock(&self.store).buckets.bucket(bucket).lifecycle = xml.map(str::to_owned);
    }

    /// Sets the notification configuration of a bucket, an element `NotificationConfiguration`. The server sends no
    /// events.
    pub fn set_notifications(&self, bucket: &str, xml: &str) {
        lock(&self.store).buckets.bucket(bucket).notifications = Some(xml.to_owned());
    }

    /// Sets the region of a bucket. A call that is signed for another one is redirected. Without this,
    /// a bucket answers in every region.
    pub fn set_region(&self, bucket: &str, region: &str) {
        lock(&self.store).buckets.bucket(bucket).region = Some(region.to_owned());
    }

    /// Sets whether S3 denies every call for a bucket. Viewers get its objects in any case.
    pub fn set_denied(&self, bucket: &str, is_denied: bool) {
        lock(&self.store).buckets.bucket(bucket).is_denied = is_denied;
    }

    /// Sets whether distributions may list a bucket. If not, S3 answers 403 instead of 404 when viewers
    /// request an object that is missing.
    pub fn set_lists_for_viewers(&self, bucket: &str, lists: bool) {
        lock(&self.store).buckets.bucket(bucket).lists_for_viewers = lists;
    }

    /// Moves the simulated time forward: the one of versions, and of answers in the cache.
    pub fn advance(&self, by: Duration) {
        lock(&self.store).clock.advance(by);
    }

    /// Stops the simulated time at a full second. From now on, only [`Server::advance`] moves it.
    pub fn stop_clock(&self) {
        lock(&self.store).clock.stop();
    }

    /// Returns the simulated time.
    pub fn now(&self) -> SystemTime {
        lock(&self.store).clock.now()
    }
}
