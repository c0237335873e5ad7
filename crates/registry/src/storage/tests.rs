use super::*;

fn key(text: &str) -> Key {
    Key::repositories().join(text)
}

/// Runs a test on each storage.
async fn on_each_storage(test: impl AsyncFn(&dyn Storage)) {
    test(&MemoryStorage::new()).await;
    let folder = tempfile::tempdir().unwrap();
    test(&DiskStorage::open(folder.path()).unwrap()).await;
    #[cfg(feature = "object-store")]
    test(&ObjectStorage::new(object_store::memory::InMemory::new())).await;
}

#[tokio::test]
async fn an_object_is_written_only_if_its_condition_is_met() {
    on_each_storage(async |storage| {
        let put = async |content: &'static str, condition| {
            let (key, content) = (key("a"), Bytes::from_static(content.as_bytes()));
            storage.put(&key, content, condition).await.map_err(|e| e.kind())
        };
        let first = put("1", Condition::Absent).await.unwrap();
        assert_eq!(put("2", Condition::Absent).await, Err(ErrorKind::Conflict));
        assert_eq!(storage.get(&key("a")).await.unwrap().unwrap().content, "1");
        let second = put("22", Condition::Unchanged(first.clone())).await.unwrap();
        assert_eq!(put("3", Condition::Unchanged(first)).await, Err(ErrorKind::Conflict));
        let object = storage.get(&key("a")).await.unwrap().unwrap();
        assert_eq!(object, Object { content: "22".into(), version: second.clone() });
        put("4", Condition::Always).await.unwrap();
        storage.delete(&key("a")).await.unwrap();
        storage.delete(&key("a")).await.unwrap();
        let gone = put("5", Condition::Unchanged(second)).await;
        assert_eq!(gone, Err(ErrorKind::Conflict));
        put("", Condition::Absent).await.unwrap();
        assert_eq!(put("", Condition::Absent).await, Err(ErrorKind::Conflict));
        assert_eq!(storage.get(&key("a")).await.unwrap().unwrap().content, "");
    })
    .await;
}

#[tokio::test]
async fn list_returns_the_names_directly_below_a_key() {
    on_each_storage(async |storage| {
        for name in ["a/b/c", "a/b/d", "a/x", "a/b-c/d", "a.b/c", "aa/b"] {
            storage.put(&key(name), Bytes::from_static(b"x"), Condition::Always).await.unwrap();
        }
        for (folder, expected) in
            [("a", &["b", "b-c", "x"][..]), ("a/b", &["c", "d"]), ("a/x", &[]), ("nothing", &[])]
        {
            let mut names = storage.list(&key(folder)).await.unwrap();
            names.sort();
            assert_eq!(names, expected, "{folder}");
        }
        let heads = storage.head(&[key("a/x"), key("a/b"), key("aa/b")]).await.unwrap();
        let sizes: Vec<_> = heads.iter().map(|meta| meta.as_ref().map(|meta| meta.size)).collect();
        assert_eq!(sizes, [Some(1), None, Some(1)]);
    })
    .await;
}

#[tokio::test]
async fn an_upload_continues_at_its_checkpoint() {
    on_each_storage(async |storage| {
        let id = UploadId::random().unwrap();
        let read = async |upload: &mut Box<dyn Upload>| {
            upload.content().await.unwrap().bytes(100).await.unwrap()
        };
        let mut upload = storage.upload(&id, &Checkpoint::default()).await.unwrap();
        upload.write(vec!["01".into(), "234".into()]).await.unwrap();
        let kept = Checkpoint { size: 5, state: upload.checkpoint().await.unwrap() };
        upload.write(vec!["56".into()]).await.unwrap();
        assert_eq!(read(&mut upload).await, "0123456");
        drop(upload);
        let mut upload = storage.upload(&id, &kept).await.unwrap();
        upload.write(vec!["xy".into()]).await.unwrap();
        let (blob, link) = (key("blob"), key("link"));
        storage.put(&blob, Bytes::from_static(b"other"), Condition::Always).await.unwrap();
        let refused = upload.complete(&blob, &link, Condition::Absent).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert_eq!(storage.head(std::slice::from_ref(&link)).await.unwrap(), [None]);
        let version = upload.complete(&blob, &link, Condition::Always).await.unwrap();
        let object = storage.get(&blob).await.unwrap().unwrap();
        assert_eq!(object, Object { content: "01234xy".into(), version });
        assert_eq!(storage.get(&link).await.unwrap().unwrap().content, "");

        let mut upload = storage.upload(&id, &Checkpoint::default()).await.unwrap();
        upload.write(vec!["gone".into()]).await.unwrap();
        upload.abort().await.unwrap();
        assert_eq!(storage.list(&Key::uploads()).await.unwrap(), [""; 0]);
    })
    .await;
}
