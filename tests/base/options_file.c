#include "base/options.h"

#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "options_sample.h"
#include "test.h"

#define CONFIG "test_base_options.yaml"

TEST(settings_file)
{
    static const char yaml[] =
        "# a recipe\nbatch_size: 32\nlr: 1.0e-3  # high\nopt_betas: [0.8, 0.95]\nsteps:\n- 4\n- 5\n- 6\n"
        "model_ema: true\nrepeated_aug: false\nimg_size: [32, 48]\ndata_dir: 'it''s'\nunknown: null\n"
        "clip_grad: ~\nimage: [a, b]\n";
    vt_options o;
    settings s;
    CHECK_OK(vt_file_write(CONFIG, yaml, sizeof yaml - 1));
    CHECK_OK(parse(&o, &s, "--lr 7 -c " CONFIG));
    CHECK(s.batch_size == 32 && s.lr == 7 && s.betas[1] == 0.95 && s.steps[1] == 5 && s.ema && s.repeats == 3);
    CHECK(s.model.img_size[0] == 32 && s.model.img_size[1] == 48 && s.images.count == 2);
    CHECK_STR(s.data, "it's");
    CHECK(vt_options_source(&o, "lr") == VT_FROM_FLAG && vt_options_source(&o, "batch-size") == VT_FROM_CONFIG);
    CHECK_OK(vt_options_set(&o, "batch-size", "1", VT_FROM_PRESET));
    CHECK_OK(vt_options_set(&o, "depth", "2", VT_FROM_PRESET));
    CHECK(s.batch_size == 32 && s.model.depth == 2 && !vt_options_given(&o, "depth"));
    CHECK_FAILS(vt_options_set(&o, "dept", "2", VT_FROM_PRESET), VT_INVALID, "did you mean --depth");
    vt_options_free(&o);
    static const char *const cases[][2] = {
        {"\nbach_size: 3", CONFIG ", line 2: unknown setting bach_size: did you mean batch_size?"},
        {"batch_size: x", CONFIG ", line 1: --batch-size: \"x\" is not a whole number"},
        {"batch_size: null", CONFIG ", line 1: --batch-size cannot be null"},
        {"batch_size: [1, 2]", CONFIG ", line 1: --batch-size wants 1 value, and there are 2"},
        {"opt_betas: []", "--opt-betas wants 2 values, and there are 0"},
        {"config: x", "a settings file cannot name another"},
        {"repeated_aug: 3", "repeated_aug is true or false"},
        {"a: b: c", CONFIG ": line 1: a second"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(vt_file_write(CONFIG, cases[i][0], strlen(cases[i][0])));
        CHECK_FAILS(parse(&o, &s, "-c " CONFIG), VT_INVALID, cases[i][1]);
    }
    unlink(CONFIG);
}

static const char recorded[] =
    "{\"batch_size\":128,\"lr\":1e-06,\"img_size\":\"32x48\",\"depth\":12,\"qkv_bias\":false,\"global_pool\":\"avg\","
    "\"clip_grad\":null,\"opt_betas\":[0.9,0.95],\"cutmix_minmax\":null,\"steps\":[-1,0,1],\"seed\":0,\"aug_repeats\":"
    "3,"
    "\"model_ema\":false,\"overwrite\":false,\"data_path\":\"a\\\"b\",\"output_dir\":\"5e-4\",\"fit\":null,"
    "\"format\":[\"hf\"],\"image\":[\"x\",\"- y\"]}";

static vt_status parse_sample(vt_options *o, settings *s)
{
    static const char *const argv[] = {"a\"b",
                                       "x",
                                       "-b128",
                                       "--lr",
                                       "1e-6",
                                       "--img-size",
                                       "32x48",
                                       "--no-qkv-bias",
                                       "--global-pool",
                                       "avg",
                                       "--opt-betas",
                                       "0.9",
                                       "0.95",
                                       "--output",
                                       "5e-4",
                                       "--format",
                                       "hf",
                                       "--",
                                       "- y"};
    const char *const *at = argv;
    vt_status st = vt_options_init(o, table, s);
    return st == VT_OK ? vt_options_parse(o, sizeof argv / sizeof *argv, at) : st;
}

TEST(writes_json_and_yaml)
{
    vt_options o;
    settings s;
    vt_text t = {0};
    CHECK_OK(parse_sample(&o, &s));
    vt_options_write_json(&o, &t);
    CHECK_STR(vt_text_str(&t), recorded);
    vt_text_free(&t);
    vt_options_write_yaml(&o, &t);
    CHECK_STR(vt_text_str(&t),
              "aug_repeats: 3\nbatch_size: 128\nclip_grad: null\ncutmix_minmax: null\ndata_path: 'a\"b'\ndepth: "
              "12\nfit: null\n"
              "format:\n- hf\nglobal_pool: avg\nimage:\n- x\n- '- y'\nimg_size: 32x48\nlr: 1.0e-06\nmodel_ema: false\n"
              "opt_betas:\n- 0.9\n- 0.95\noutput_dir: '5e-4'\noverwrite: false\nqkv_bias: false\nseed: 0\n"
              "steps:\n- -1\n- 0\n- 1\n");
    vt_options_free(&o);
    /* And back: what was written is read to the same settings. */
    vt_text again = {0};
    CHECK_OK(vt_file_write(CONFIG, t.data, t.size));
    CHECK_OK(parse(&o, &s, "-c " CONFIG));
    vt_options_write_yaml(&o, &again);
    CHECK_STR(vt_text_str(&again), vt_text_str(&t));
    vt_options_free(&o);
    vt_text_free(&t);
    vt_text_free(&again);
    unlink(CONFIG);
}

TEST(resumes)
{
    vt_options o;
    settings s;
    CHECK_OK(parse(&o, &s, "--batch-size 128 --depth 3 --output other --seed 0 a\"b x"));
    CHECK_FAILS(vt_options_resume(&o, recorded, "epochs, output_dir,image"), VT_INVALID,
                "--depth 3: the run was begun with 12;");
    CHECK_OK(vt_options_resume(&o, recorded, "depth,output-dir,image"));
    CHECK(s.batch_size == 128 && s.model.depth == 3 && s.lr == 1e-6 && !s.model.qkv_bias && s.betas[1] == 0.95);
    CHECK_STR(s.output, "other");
    CHECK(s.images.count == 1 && s.formats.count == 1 && vt_options_source(&o, "lr") == VT_FROM_CHECKPOINT);
    CHECK_FAILS(vt_options_resume(&o, "{\"lr\":", ""), VT_INVALID, "recorded settings: JSON, byte 6");
    CHECK_FAILS(vt_options_resume(&o, "[]", ""), VT_INVALID, "recorded settings: not an object");
    CHECK_FAILS(vt_options_resume(&o, "{\"lr\":{}}", ""), VT_INVALID, "lr has a value that is no setting");
    CHECK_FAILS(vt_options_resume(&o, "{\"lr\":-1}", ""), VT_INVALID, "--lr: -1 is out of range");
    CHECK_FAILS(vt_options_resume(&o, "{\"warp\":1}", ""), VT_INVALID, "recorded setting warp is unknown");
    vt_options_free(&o);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live(), n = 0;
    vt_status st;
    do {
        vt_options o = {0};
        settings s;
        vt_text t = {0};
        vt_alloc_fail_at(++n, 0);
        st = parse_sample(&o, &s);
        if (st == VT_OK) {
            st = vt_options_resume(&o, recorded, "");
            vt_options_write_json(&o, &t);
            vt_options_write_yaml(&o, &t);
            vt_options_help(&o, &t, "x", "y");
            if (st == VT_OK) st = vt_text_status(&t);
        }
        vt_alloc_fail_at(0, 0);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
        vt_text_free(&t);
        vt_options_free(&o);
        CHECK_EQ(vt_alloc_live(), live);
    } while (st != VT_OK && n < 1000);
    CHECK(n > 10 && n < 1000);
#endif
}

int main(void)
{
    RUN(settings_file);
    RUN(writes_json_and_yaml);
    RUN(resumes);
    RUN(memory_running_out);
    TEST_END();
}
