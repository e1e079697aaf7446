"""Scan of data folders: which corpora are found, which files become clips, and which tables are errors."""

import os
import re
import time
import unicodedata
from pathlib import Path

import pytest

from ser_embed.corpora.demo import MARKER
from ser_embed.corpora.registry import CORPORA
from ser_embed.corpora.scan import scan_data
from ser_embed.errors import InputError
from ser_embed.manifest import COLUMNS

README = Path(__file__).parents[3] / "data" / "README.md"


def write_files(folder: Path, *names: str, content: bytes = b"RIFF") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_manifest(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    return folder


def utterance_ids(scan) -> list[str]:
    return scan.manifest["utterance_id"].tolist()


class TestFindingCorpora:
    def test_every_corpus_of_the_registry_is_found_in_a_data_folder(self, tmp_path):
        write_files(
            tmp_path, "crema-d/AudioWAV/1001_IEO_DIS_LO.wav", "Emo-DB/wav/03a01Fa.wav", "SAVEE/AudioData/DC/su03.wav"
        )
        write_files(tmp_path, "RAVDESS/Actor_02/03-01-06-01-02-01-02.FLAC", "tess/YAF_sad/YAF_gap_sad.mp3")
        write_files(tmp_path, "notes/readme.txt", ".cache/03a01Wa.wav", "emodb.zip")
        scan = scan_data(tmp_path)
        assert list(scan.manifest.columns[: len(COLUMNS)]) == list(COLUMNS)
        table = scan.manifest.set_index("utterance_id")[["path", "corpus", "speaker", "emotion"]]
        assert table.T.to_dict("list") == {
            "crema-d/1001_IEO_DIS_LO": ["crema-d/AudioWAV/1001_IEO_DIS_LO.wav", "crema-d", "crema-d/1001", "disgust"],
            "emodb/03a01Fa": ["Emo-DB/wav/03a01Fa.wav", "emodb", "emodb/03", "happy"],
            "ravdess/03-01-06-01-02-01-02": [
                "RAVDESS/Actor_02/03-01-06-01-02-01-02.FLAC",
                "ravdess",
                "ravdess/02",
                "fear",
            ],
            "savee/DC_su03": ["SAVEE/AudioData/DC/su03.wav", "savee", "savee/DC", "surprise"],
            "tess/YAF_gap_sad": ["tess/YAF_sad/YAF_gap_sad.mp3", "tess", "tess/YAF", "sad"],
        }
        assert scan.unreadable.empty
        assert scan.notes == ()

    @pytest.mark.parametrize("name", ["AudioWAV", "CREMA-D", "cremad", "Crema_D"])
    def test_the_data_folder_may_be_the_corpus(self, tmp_path, name):
        write_files(tmp_path / name, "1001_IEO_DIS_LO.wav")
        assert scan_data(tmp_path / name).manifest["path"].tolist() == ["1001_IEO_DIS_LO.wav"]

    def test_the_current_folder_may_be_the_corpus(self, tmp_path, monkeypatch):
        monkeypatch.chdir(write_files(tmp_path / "emodb", "03a01Fa.wav"))
        assert utterance_ids(scan_data(".")) == ["emodb/03a01Fa"]

    def test_a_single_requested_name_states_the_corpus_of_a_folder_of_any_name(self, tmp_path):
        write_files(tmp_path, "03a01Fa.wav", "misc/03a01Wa.wav")
        assert utterance_ids(scan_data(tmp_path, ["emodb"])) == ["emodb/03a01Fa", "emodb/03a01Wa"]

    def test_the_demo_corpus_is_identified_by_its_marker_alone(self, tmp_path):
        write_files(tmp_path / "mine", "1001_IEO_DIS_LO.wav", MARKER)
        write_files(tmp_path / "demo", "1001_IEO_DIS_LO.wav")
        scan = scan_data(tmp_path)
        assert utterance_ids(scan) == ["demo/1001_IEO_DIS_LO"]
        assert scan.manifest["path"].tolist() == ["mine/1001_IEO_DIS_LO.wav"]
        assert scan.manifest["synthetic"].tolist() == ["yes"]
        assert utterance_ids(scan_data(tmp_path / "mine")) == utterance_ids(scan)

    @pytest.mark.parametrize("folder", ["crema-d", "demo"])
    def test_the_demo_corpus_is_not_taken_for_crema_d(self, tmp_path, folder):
        write_files(tmp_path / folder, "1001_IEO_DIS_LO.wav", MARKER)
        assert utterance_ids(scan_data(tmp_path)) == ["demo/1001_IEO_DIS_LO"]
        for data in (tmp_path, tmp_path / folder):
            with pytest.raises(InputError, match="no corpus 'crema-d': .*; corpora found: demo"):
                scan_data(data, ["crema-d"])

    def test_clips_without_the_marker_are_not_taken_for_the_demo_corpus(self, tmp_path):
        write_files(tmp_path / "mine", "1001_IEO_DIS_LO.wav")
        with pytest.raises(InputError, match="no corpus 'demo'"):
            scan_data(tmp_path / "mine", ["demo"])

    def test_two_demo_corpora_with_different_files_are_an_error(self, tmp_path):
        write_files(tmp_path, f"a/{MARKER}", f"b/{MARKER}")
        write_files(tmp_path, "a/1001_IEO_DIS_LO.wav")
        write_files(tmp_path, "b/1001_IEO_DIS_LO.wav", content=b"another length")
        with pytest.raises(InputError, match="two different files .* 1001_IEO_DIS_LO"):
            scan_data(tmp_path)

    def test_a_corpus_in_two_folders_is_one_corpus(self, tmp_path):
        write_files(
            tmp_path, "AudioWAV/1001_IEO_DIS_LO.wav", "AudioMP3/1001_IEO_DIS_LO.mp3", "AudioMP3/1002_IEO_DIS_LO.mp3"
        )
        scan = scan_data(tmp_path)
        assert scan.manifest["path"].tolist() == ["AudioWAV/1001_IEO_DIS_LO.wav", "AudioMP3/1002_IEO_DIS_LO.mp3"]
        assert scan.notes == ("crema-d: left out 1 files that repeat a clip, as a copy or in another format",)

    def test_two_corpora_of_one_name_are_an_error(self, tmp_path):
        write_files(tmp_path, f"made/{MARKER}", "made/1001_IEO_DIS_LO.wav")
        write_manifest(tmp_path / "demo", "path,emotion,speaker\na.wav,sad,x\n")
        with pytest.raises(InputError, match="two corpora have the name 'demo'"):
            scan_data(tmp_path)

    def test_only_the_requested_corpora_are_listed_each_of_them_once(self, tmp_path):
        write_files(tmp_path, "emodb/03a01Fa.wav", "tess/YAF_gap_sad.wav", "savee/DC_a01.wav")
        assert utterance_ids(scan_data(tmp_path, ["tess", "EmoDB", "emodb"])) == ["emodb/03a01Fa", "tess/YAF_gap_sad"]

    def test_an_unusable_corpus_is_left_out_with_a_note(self, tmp_path):
        write_files(tmp_path, "emodb/03a01Fa.wav", "crema-d/summaryTable.csv", "tess/recording.wav")
        write_manifest(tmp_path / "pretrain", "path,source,speaker\na.opus,x,y\n")
        write_manifest(tmp_path / "hollow", "path,emotion,speaker\n")
        scan = scan_data(tmp_path)
        assert utterance_ids(scan) == ["emodb/03a01Fa"]
        reasons = {
            "crema-d": "expected audio",
            "hollow": "found only the header",
            "pretrain": "found path, source, speaker",
            "tess": "found tess/recording.wav",
        }
        for note, (name, reason) in zip(scan.notes, reasons.items(), strict=True):
            assert note.startswith(f"{name} left out: ")
            assert reason in note
            with pytest.raises(InputError, match=reason):
                scan_data(tmp_path, [name])


class TestAudioFiles:
    def test_a_file_name_outside_the_grammar_is_listed_with_its_reason(self, tmp_path):
        write_files(
            tmp_path / "emodb", "03a01Fa.wav", "sub/test.wav", "test.wav", "._03a01Wa.wav", ".hidden.wav", "notes.txt"
        )
        scan = scan_data(tmp_path)
        assert utterance_ids(scan) == ["emodb/03a01Fa"]
        assert scan.unreadable["path"].tolist() == ["emodb/sub/test.wav", "emodb/test.wav"]
        assert scan.unreadable["utterance_id"].is_unique
        assert scan.unreadable["reason"].str.startswith("file name does not follow").all()

    @pytest.mark.skipif(os.name == "nt", reason="file names are bytes on POSIX only")
    def test_a_name_that_is_not_utf_8_can_be_printed(self, tmp_path):
        write_files(tmp_path / "emodb", "03a01Fa.wav")
        try:
            write_files(tmp_path / "emodb", os.fsdecode(b"\xff.wav"))
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        assert scan_data(tmp_path).unreadable["path"].tolist() == [r"emodb/\xff.wav"]

    def test_a_nested_second_copy_is_left_out(self, tmp_path):
        names = ("Actor_01/03-01-01-01-01-01-01.wav", "Actor_02/03-01-01-01-01-01-02.wav")
        write_files(tmp_path / "ravdess", *names, *(f"audio_speech_actors_01-24/{name}" for name in names))
        scan = scan_data(tmp_path)
        assert scan.manifest["path"].tolist() == [f"ravdess/{name}" for name in names]
        assert scan.notes == ("ravdess: left out 2 files that repeat a clip, as a copy or in another format",)

    def test_two_files_of_one_name_and_different_sizes_are_an_error(self, tmp_path):
        write_files(tmp_path / "emodb", "a/03a01Fa.wav")
        write_files(tmp_path / "emodb", "b/03a01Fa.wav", content=b"another length")
        with pytest.raises(InputError, match="clip 03a01Fa: emodb/a/03a01Fa.wav and emodb/b/03a01Fa.wav"):
            scan_data(tmp_path)

    def test_songs_and_videos_are_left_out_and_counted(self, tmp_path):
        write_files(
            tmp_path / "ravdess", "03-01-01-01-01-01-01.wav", "03-02-01-01-01-01-01.wav", "01-01-01-01-01-01-01.wav"
        )
        write_files(tmp_path / "ravdess", "03-02-01-01-01-01-02.wav")
        scan = scan_data(tmp_path)
        assert utterance_ids(scan) == ["ravdess/03-01-01-01-01-01-01"]
        assert scan.notes == ("ravdess: left out 3 clips, since only audio-only speech is used: 2 song, 1 audio-video",)
        assert not {"modality", "channel"} & set(scan.manifest)

    def test_a_broken_link_is_listed_and_left_to_the_decoder_to_report(self, tmp_path):
        (tmp_path / "emodb").mkdir()
        (tmp_path / "emodb" / "03a01Fa.wav").symlink_to(tmp_path / "gone.wav")
        assert utterance_ids(scan_data(tmp_path)) == ["emodb/03a01Fa"]

    def test_linked_folders_are_followed_once(self, tmp_path):
        write_files(tmp_path / "elsewhere", "03a01Fa.wav")
        (tmp_path / "data" / "emodb").mkdir(parents=True)
        (tmp_path / "data" / "emodb" / "wav").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
        scan = scan_data(tmp_path / "data")
        assert scan.manifest["path"].tolist() == ["emodb/wav/03a01Fa.wav"]
        assert scan.notes == ()

    def test_thousands_of_clips_take_less_than_two_seconds(self, tmp_path):
        folder = tmp_path / "crema-d"
        folder.mkdir()
        for speaker in range(1001, 1092):
            for sentence in ("DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI"):
                for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"):
                    (folder / f"{speaker}_{sentence}_{emotion}_XX.wav").touch()
        start = time.process_time()
        assert len(scan_data(tmp_path).manifest) == 91 * 12 * 6
        assert time.process_time() - start < 2  # a third of a second on an idle machine


class TestMissingCorpora:
    def test_a_missing_data_folder_is_an_error(self, tmp_path):
        with pytest.raises(InputError, match="expected a data folder, but there is none at .*absent"):
            scan_data(tmp_path / "absent")

    def test_the_error_for_an_empty_folder_lists_what_is_expected(self, tmp_path):
        with pytest.raises(InputError, match=r"crema-d.*emodb.*manifest\.csv.*data/README\.md.*ser_embed\.demo"):
            scan_data(tmp_path)

    def test_the_error_has_the_reason_why_a_corpus_was_left_out(self, tmp_path):
        write_files(tmp_path, "emodb/readme.txt")
        with pytest.raises(InputError, match="emodb left out: expected audio"):
            scan_data(tmp_path)

    def test_a_requested_corpus_that_is_missing_is_an_error(self, tmp_path):
        write_files(tmp_path, "emodb/03a01Fa.wav")
        with pytest.raises(InputError, match="no corpus 'tess': expected a folder .*tess.*corpora found: emodb"):
            scan_data(tmp_path, ["tess"])
        with pytest.raises(InputError, match="no corpus 'mine': expected a folder .*mine with a manifest.csv"):
            scan_data(tmp_path, ["mine"])

    def test_a_requested_corpus_without_clips_is_an_error(self, tmp_path):
        write_files(tmp_path, "emodb/03a01Fa.wav", "crema-d/summaryTable.csv")
        with pytest.raises(InputError, match="expected audio .* in .*crema-d, found none"):
            scan_data(tmp_path, ["emodb", "crema-d"])


class TestManifestCsv:
    def test_all_columns_are_kept(self, tmp_path):
        write_manifest(
            tmp_path / "My Set",
            "\ufeffpath,Emotion2,emotion,speaker,age,code,gender,corpus,duration_s\n"
            "a/x.wav,?,Anger,s1,31,01,female,other,5\n"
            "b/x.mp3,!,contempt,s2,,02,,other,6\n",
        )
        rows = scan_data(tmp_path).manifest.drop(columns=["duration_s"]).to_dict("records")
        assert {key: rows[0][key] for key in ("utterance_id", "path", "corpus", "speaker", "emotion")} == {
            "utterance_id": "My Set/a/x",
            "path": "My Set/a/x.wav",
            "corpus": "My Set",
            "speaker": "My Set/s1",
            "emotion": "angry",
        }
        assert (rows[0]["age"], rows[0]["code"], rows[0]["gender"], rows[0]["Emotion2"]) == (31, "01", "female", "?")
        assert rows[1]["emotion"] == "contempt"
        assert rows[1]["age"] != rows[1]["age"]  # NaN
        assert rows[1]["gender"] == ""

    def test_unknown_labels_are_kept_and_noted(self, tmp_path):
        labels = ["anrgy", "Anger", "awe", "awe", "b", "c", "d", "d", "e", "e", "sad"]
        rows = [f"{index}.wav,{label},s" for index, label in enumerate(labels)]
        write_manifest(tmp_path / "set", "\n".join(["path,emotion,speaker", *rows[:2]]))
        note = "set: labels that are none of angry, bored, calm, disgust, fear, happy, neutral, sad, surprise: "
        scan = scan_data(tmp_path)
        assert scan.manifest["emotion"].tolist() == ["anrgy", "angry"]
        assert scan.notes == (f"{note}'anrgy' (1 clip)",)
        write_manifest(tmp_path / "set", "\n".join(["path,emotion,speaker", *rows]))
        listed = "'anrgy' (1 clip), 'b' (1 clip), 'c' (1 clip), 'awe' (2 clips), 'd' (2 clips), and 1 more"
        assert scan_data(tmp_path).notes == (note + listed,)

    def test_computed_columns_are_not_taken_from_the_table(self, tmp_path):
        write_manifest(tmp_path, "path,emotion,speaker,utterance_id,corpus,digest,duration_s\na.wav,sad,s,u,c,d,5\n")
        manifest = scan_data(tmp_path).manifest
        assert manifest["utterance_id"].tolist() == [f"{tmp_path.name}/a"]
        assert manifest["digest"].tolist() == [""]
        assert manifest["duration_s"].isna().all()

    def test_files_need_not_exist(self, tmp_path):
        write_manifest(tmp_path / "set", "path,emotion,speaker\nabsent.wav,sad,s\n")
        assert scan_data(tmp_path).manifest["path"].tolist() == ["set/absent.wav"]

    def test_an_absolute_path_inside_the_folder_is_made_relative(self, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "link").symlink_to("data")
        for data in (tmp_path / "data", tmp_path / "link", tmp_path / "data" / ".." / "data"):
            write_manifest(data / "set", f"path,emotion,speaker\n{tmp_path.resolve()}/data/set/a/x.wav,sad,s\n")
            scan = scan_data(data)
            assert (utterance_ids(scan), scan.manifest["path"].tolist()) == (["set/a/x"], ["set/a/x.wav"])

    @pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_a_file_is_found_in_the_other_unicode_form(self, tmp_path, written, on_disk):
        in_table, in_folder = (unicodedata.normalize(form, "Jürgen/böse.wav") for form in (written, on_disk))
        write_files(tmp_path / "set", in_folder)
        write_manifest(tmp_path / "set", f"path,emotion,speaker\n{in_table},angry,s\nmüde.wav,bored,s\n")
        if (tmp_path / "set" / in_table).exists():
            pytest.skip("this file system takes both forms for one")
        manifest = scan_data(tmp_path).manifest
        assert manifest["path"].tolist() == [f"set/{in_folder}", "set/müde.wav"]
        assert manifest["utterance_id"].tolist() == [f"set/{in_table.removesuffix('.wav')}", "set/müde"]
        write_manifest(tmp_path / "set", f"path,emotion,speaker\n{in_table},angry,s\n{in_folder},angry,s\n")
        with pytest.raises(InputError, match="lines 2 and 3 name the same clip"):
            scan_data(tmp_path)

    @pytest.mark.parametrize("outside", ["other/x.wav", "set/../x.wav", "setting/x.wav"])
    def test_an_absolute_path_outside_the_folder_is_refused(self, tmp_path, outside):
        write_manifest(tmp_path / "set", f"path,emotion,speaker\n{tmp_path}/{outside},sad,s\n")
        with pytest.raises(InputError, match=f"stay inside .*set, but .*manifest.csv line 2 has .*{outside}"):
            scan_data(tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("path,emotion,speaker\n../x.wav,sad,s\n", r"stay inside .* line 2 has '\.\./x\.wav'"),
            ("path,emotion,speaker\n/etc/x.wav,sad,s\n", "stay inside"),
            ("path,emotion,speaker\n.,sad,s\n", "stay inside"),
            ("path,emotion,speaker\nx.wav,,s\n", "value for 'emotion' in .* line 2"),
            ("path,emotion,speaker\nx.wav,sad\n", "expected 3 values in .* line 2, found 2"),
            ("path,emotion,speaker\nx.wav,sad,s,t\n", "expected 3 values in .* line 2, found 4"),
            ("path,emotion,speaker,a/b\nx.wav,sad,s,t\n", "names without '/'.* found 'a/b'"),
            ("path,emotion,speaker,emotion\nx.wav,sad,s,t\n", "column 'emotion' appears twice in .*manifest.csv$"),
            *(
                (
                    f"path,emotion,speaker,{name}\nx.wav,sad,s,t\n",
                    f"other than .*frame_count in .*, found '{re.escape(name)}'",
                )
                for name in (".", "..", "frame_start", "frame_count")
            ),
            *(
                (
                    f"path,emotion,speaker\nx.wav,sad,s\n\ny.wav,sad,s\n{repeated},sad,s\n",
                    r"manifest\.csv lines 2 and 5 name the same clip x\.wav",
                )
                for repeated in ("x.wav", "./x.wav", ".//x.wav")
            ),
            ('path,emotion,speaker\n"x.wav,sad,s\n', "cannot be read as one"),
            ("path,emotion,speaker\nx\0.wav,sad,s\n", "cannot be read as one|binary data"),
        ],
    )
    def test_a_bad_table_is_an_error_whether_requested_or_not(self, tmp_path, text, message):
        write_files(tmp_path, "emodb/03a01Fa.wav")
        write_manifest(tmp_path / "set", text)
        for corpora in ([], ["set"]):
            with pytest.raises(InputError, match=message):
                scan_data(tmp_path, corpora)

    @pytest.mark.parametrize("text", ["", "path,emotion\nx.wav,sad\n", "path|emotion|speaker\nx.wav|sad|s\n"])
    def test_a_table_without_the_required_columns_is_an_error_if_requested(self, tmp_path, text):
        write_manifest(tmp_path / "set", text)
        with pytest.raises(InputError, match="expected the columns path, emotion and speaker in .*set/manifest.csv"):
            scan_data(tmp_path, ["set"])

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_columns_are_separated_by_commas_semicolons_or_tabs(self, tmp_path, delimiter):
        rows = [["path", '"note,;\tx"', "emotion", "speaker"], ["x.wav", '"a,b;c\td"', "sad", "s"]]
        write_manifest(tmp_path / "set", "\r\n".join(delimiter.join(row) for row in rows))
        (row,) = scan_data(tmp_path).manifest.to_dict("records")
        assert (row["path"], row["note,;\tx"], row["emotion"]) == ("set/x.wav", "a,b;c\td", "sad")

    def test_clips_that_differ_only_in_their_suffix_keep_it(self, tmp_path):
        write_manifest(tmp_path / "set", "path,emotion,speaker\na.wav,sad,s\na.flac,sad,s\nb.wav,sad,s\n")
        assert utterance_ids(scan_data(tmp_path)) == ["set/a.flac", "set/a.wav", "set/b"]

    def test_bytes_that_are_not_utf_8_are_an_error(self, tmp_path):
        write_files(tmp_path / "set", "manifest.csv", content=b"path,emotion,speaker\n\xff.wav,sad,s\n")
        with pytest.raises(InputError, match="csv table in UTF-8, but .*manifest.csv cannot be read"):
            scan_data(tmp_path)


class TestCremaDTables:
    DEMOGRAPHICS = '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
    SUMMARY = (
        '"","FileName","VoiceVote","VoiceLevel"\n'
        '"1","1001_IEO_DIS_LO","D:A","37.2:58.6"\n"2","1002_IEO_SAD_XX","S","70"\n'
    )
    VOTES = (
        '"","A","D","F","H","N","S","fileName"\n"100001",4,4,0,1,0,0,"1001_IEO_DIS_LO"\n'
        '"200001",9,0,0,0,0,0,"1001_IEO_DIS_LO"\n'
    )

    @pytest.mark.parametrize("table_folder", [".", "..", "../processedResults"])
    def test_tables_become_columns(self, tmp_path, table_folder):
        clips = write_files(tmp_path / "CREMA-D" / "AudioWAV", "1001_IEO_DIS_LO.wav", "1002_IEO_SAD_X.wav")
        tables = clips / table_folder
        write_files(tables, "VideoDemographics.csv", content=self.DEMOGRAPHICS.encode())
        write_files(tables, "summaryTable.csv", content=self.SUMMARY.encode())
        write_files(tables, "tabulatedVotes.csv", content=self.VOTES.encode())
        manifest = scan_data(clips).manifest.set_index("utterance_id")
        first, second = manifest.loc["crema-d/1001_IEO_DIS_LO"], manifest.loc["crema-d/1002_IEO_SAD_XX"]
        assert (first["gender"], first["age"], first["race"]) == ("male", 51, "Caucasian")
        assert (first["emotion"], first["voice_vote"]) == ("disgust", "angry:disgust")
        assert first["voice_level"] == pytest.approx((37.2 + 58.6) / 2)
        assert (first["votes_angry"], first["votes_happy"]) == (4, 1)
        assert (second["gender"], second["voice_vote"], second["voice_level"]) == ("", "sad", 70)
        assert manifest.loc["crema-d/1002_IEO_SAD_XX", ["age", "votes_angry"]].isna().all()

    @pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid x\n", b"\xff\xfe\x00"])
    def test_a_file_that_is_not_a_csv_table_is_an_error(self, tmp_path, content):
        write_files(tmp_path / "crema-d", "1001_IEO_DIS_LO.wav")
        write_files(tmp_path / "crema-d", "summaryTable.csv", content=content)
        with pytest.raises(InputError, match="expected .*summaryTable.csv"):
            scan_data(tmp_path)


def test_the_readme_has_the_facts_of_the_registry():
    text = README.read_text(encoding="utf-8")
    for corpus in CORPORA.values():
        section = text.partition(f"## {corpus.name}\n")[2].partition("\n## ")[0]
        for fact in (corpus.title, corpus.licence, corpus.citation, corpus.source, *corpus.faults):
            assert fact in section, f"{corpus.name}: {fact}"
        assert f"{corpus.num_clips} clips, {corpus.num_speakers} speakers" in section
        assert all(emotion in section for emotion in corpus.labels.values())


@pytest.mark.corpus
class TestRealCorpora:
    @pytest.mark.parametrize("name", ["emodb", "ravdess"])
    def test_the_corpus_is_complete(self, data_dir, name):
        scan = scan_data(data_dir, [name])
        corpus = CORPORA[name]
        assert len(scan.manifest) == corpus.num_clips
        assert scan.manifest["speaker"].nunique() == corpus.num_speakers
        assert set(scan.manifest["emotion"]) == set(corpus.labels.values())
        assert scan.unreadable.empty
        assert all((data_dir / path).is_file() for path in scan.manifest["path"])

    def test_the_imbalance_of_emodb_is_as_its_faults_describe(self, data_dir):
        counts = scan_data(data_dir, ["emodb"]).manifest["emotion"].value_counts()
        assert (counts["angry"], counts["disgust"]) == (127, 46)

    def test_folders_without_labelled_audio_are_left_out(self, data_dir):
        scan = scan_data(data_dir)
        assert {note.split()[0] for note in scan.notes} == {"crema-d", "pretrain"}

    def test_every_name_and_table_of_crema_d_is_read(self, data_dir, tmp_path):
        tables = data_dir / "crema-d"
        names = [line.partition(",")[0] for line in (tables / "durations.csv").read_text().splitlines()[1:]]
        clips = write_files(tmp_path / "crema-d", *(f"AudioWAV/{name}.wav" for name in names), content=b"")
        for table in tables.glob("*.csv"):
            (clips / table.name).write_bytes(table.read_bytes())
        scan = scan_data(tmp_path)
        corpus = CORPORA["crema-d"]
        assert len(scan.manifest) == len(names) == corpus.num_clips
        assert scan.manifest["speaker"].nunique() == corpus.num_speakers
        assert set(scan.manifest["gender"]) == {"female", "male"}
        assert scan.manifest[["age", "voice_level", "votes_sad"]].notna().all().all()
        assert scan.manifest["voice_level"].between(0, 100).all()
        assert (scan.manifest["voice_vote"] == "neutral").sum() == 3897
        votes = scan.manifest.filter(like="votes_")
        # The emotions of a tie are joined in alphabetical order, and idxmax returns the first column of a tie.
        assert all(
            "votes_" + vote.partition(":")[0] == top_column
            for vote, top_column in zip(scan.manifest["voice_vote"], votes.idxmax(axis=1), strict=True)
        )
