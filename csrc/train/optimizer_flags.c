/* The flags of the optimizer, which training and trace share. */
#include "ops/ops.h"
#include "train/settings.h"

#define OPTIMIZER(member) VT_FIELD(vt_optimizer_flags, member), .group = "Optimizer"
const vt_option vt_optimizer_flags_table[] = {
    {.name = "opt", .kind = VT_OPT_CHOICE, OPTIMIZER(opt), .choices = vt_optimizer_names + 1, .fallback = "adamw",
     .help = "optimizer; sgd is with Nesterov's momentum, as in timm"},
    {.name = "opt-eps", .kind = VT_OPT_FLOAT, OPTIMIZER(eps), .min = 0, .max = 1, .fallback = "1e-8",
     .help = "epsilon of adamw and lamb"},
    {.name = "opt-betas", .kind = VT_OPT_FLOATS, OPTIMIZER(betas), .min = 0, .max = 0.9999999,
     .help = "betas; by default 0.9,0.999 of adamw and lamb, 0.9,0.99 of lion"},
    {.name = "momentum", .kind = VT_OPT_FLOAT, OPTIMIZER(momentum), .min = 0, .max = 0.9999999, .fallback = "0.9",
     .help = "of sgd, nesterov and momentum"},
    {.name = "layer-decay", .kind = VT_OPT_FLOAT, OPTIMIZER(layer_decay), .min = 1e-6, .max = 1, .fallback = "1",
     .help = "the rate falls by this factor a block, from the head down to the embedding; 1: it does not"},
    {.name = "freeze", .kind = VT_OPT_STRING, OPTIMIZER(freeze), .argument = "GLOB,...",
     .help = "parameters that are not trained, by timm's names: patch_embed.*,blocks.0.*"},
    {.name = "attn-only", .kind = VT_OPT_FLAG, OPTIMIZER(attn_only),
     .help = "train attention, head and pos_embed alone, as DeiT"},
    {.name = "no-decay", .kind = VT_OPT_STRING, OPTIMIZER(no_decay), .argument = "GLOB,...",
     .help = "parameters without weight decay, beside 1-D tensors, biases, pos_embed, cls_token"},
    {.name = "model-ema-warmup", .kind = VT_OPT_FLAG, OPTIMIZER(ema_warmup),
     .help = "the average's decay grows as 1 - t^(-2/3) with the step t, up to --model-ema-decay"},
    {0}};

void vt_optimizer_flags_apply(const vt_optimizer_flags *f, vt_train_options *o)
{
    o->optimizer = vt_optimizers[f->opt].name;
    o->beta1 = f->betas[0];
    o->beta2 = f->betas[1];
    o->eps = f->eps;
    o->momentum = f->momentum;
    o->layer_decay = f->layer_decay;
    o->freeze = f->freeze;
    o->attn_only = f->attn_only;
    o->no_decay = f->no_decay;
    o->ema_warmup = f->ema_warmup;
}
