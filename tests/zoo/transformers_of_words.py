"""Networks of transformers that read words, made small from their configurations: nothing is downloaded."""

from tests.zoo.network import (
    CLASSES,
    WORDS,
    Answer,
    Logits,
    Network,
    NextWord,
    of_words,
)

ENCODER = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": CLASSES,
    "pad_token_id": 0,
}
DECODER = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "use_cache": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def bert() -> Network:
    from transformers import BertConfig, BertForSequenceClassification

    return of_words(Logits(BertForSequenceClassification(BertConfig(**ENCODER))))


def roberta() -> Network:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    return of_words(Logits(RobertaForSequenceClassification(RobertaConfig(**ENCODER))))


def albert() -> Network:
    """Its layers share one set of weights."""
    from transformers import AlbertConfig, AlbertForSequenceClassification

    return of_words(Logits(AlbertForSequenceClassification(AlbertConfig(**ENCODER, embedding_size=16))))


def electra() -> Network:
    from transformers import ElectraConfig, ElectraForSequenceClassification

    return of_words(Logits(ElectraForSequenceClassification(ElectraConfig(**ENCODER, embedding_size=16))))


def distilbert() -> Network:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    made = DistilBertConfig(
        vocab_size=WORDS, dim=32, n_layers=2, n_heads=4, hidden_dim=64, num_labels=CLASSES, pad_token_id=0
    )
    return of_words(Logits(DistilBertForSequenceClassification(made)))


def deberta_v2() -> Network:
    """Its attention also looks at how far apart two words are, by projections of the positions."""
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    made = DebertaV2Config(
        **ENCODER, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, pooler_hidden_size=32
    )
    return of_words(Logits(DebertaV2ForSequenceClassification(made)))


def mpnet() -> Network:
    from transformers import MPNetConfig, MPNetForSequenceClassification

    return of_words(Logits(MPNetForSequenceClassification(MPNetConfig(**ENCODER))))


def xlnet() -> Network:
    """Its attention holds its weights as bare tensors."""
    from transformers import XLNetConfig, XLNetForSequenceClassification

    made = XLNetConfig(vocab_size=WORDS, d_model=32, n_layer=2, n_head=4, d_inner=64, num_labels=CLASSES)
    return of_words(Logits(XLNetForSequenceClassification(made)))


def gpt2() -> Network:
    """Its Conv1D is a linear layer whose weight lies the other way round; its head is its embedding."""
    from transformers import GPT2Config, GPT2LMHeadModel

    made = GPT2Config(
        vocab_size=WORDS,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        use_cache=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    return of_words(NextWord(GPT2LMHeadModel(made)))


def gpt_neox() -> Network:
    """Its fused projection holds query, key and value head by head."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return of_words(NextWord(GPTNeoXForCausalLM(GPTNeoXConfig(**DECODER))))


def gptj() -> Network:
    from transformers import GPTJConfig, GPTJForCausalLM

    made = GPTJConfig(
        vocab_size=WORDS,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        rotary_dim=4,
        use_cache=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    return of_words(NextWord(GPTJForCausalLM(made)))


def opt() -> Network:
    from transformers import OPTConfig, OPTForCausalLM

    made = OPTConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
        use_cache=False,
        pad_token_id=0,
    )
    return of_words(NextWord(OPTForCausalLM(made)))


def bloom() -> Network:
    from transformers import BloomConfig, BloomForCausalLM

    made = BloomConfig(vocab_size=WORDS, hidden_size=32, n_layer=2, n_head=4, use_cache=False)
    return of_words(NextWord(BloomForCausalLM(made)))


def llama() -> Network:
    """Two heads share one key and value (grouped-query attention); its MLP is gated."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return of_words(NextWord(LlamaForCausalLM(LlamaConfig(**DECODER, num_key_value_heads=2))))


def mistral() -> Network:
    from transformers import MistralConfig, MistralForCausalLM

    return of_words(NextWord(MistralForCausalLM(MistralConfig(**DECODER, num_key_value_heads=2))))


def qwen2() -> Network:
    """Query, key and value have biases, which no other projection has."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return of_words(NextWord(Qwen2ForCausalLM(Qwen2Config(**DECODER, num_key_value_heads=2))))


def qwen3() -> Network:
    """Every head's queries and keys are normalised by themselves."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return of_words(NextWord(Qwen3ForCausalLM(Qwen3Config(**DECODER, num_key_value_heads=2, head_dim=8))))


def gemma2() -> Network:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    return of_words(NextWord(Gemma2ForCausalLM(Gemma2Config(**DECODER, num_key_value_heads=2, head_dim=8))))


def phi3() -> Network:
    """One linear layer makes queries, keys and values, another gate and value of the MLP."""
    from transformers import Phi3Config, Phi3ForCausalLM

    return of_words(NextWord(Phi3ForCausalLM(Phi3Config(**DECODER, num_key_value_heads=2))))


def mixtral() -> Network:
    """A router sends every word to two of four experts, whose weights are one tensor."""
    from transformers import MixtralConfig, MixtralForCausalLM

    return of_words(NextWord(MixtralForCausalLM(MixtralConfig(**DECODER, num_key_value_heads=2, num_local_experts=4))))


def t5() -> Network:
    from transformers import T5Config, T5ForConditionalGeneration

    made = T5Config(
        vocab_size=WORDS,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        use_cache=False,
        decoder_start_token_id=0,
    )
    return of_words(Answer(T5ForConditionalGeneration(made)))


def bart() -> Network:
    from transformers import BartConfig, BartForConditionalGeneration

    made = BartConfig(
        vocab_size=WORDS,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        use_cache=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        forced_eos_token_id=2,
    )
    return of_words(Answer(BartForConditionalGeneration(made)))


def mamba() -> Network:
    from transformers import MambaConfig, MambaForCausalLM

    made = MambaConfig(
        vocab_size=WORDS, hidden_size=32, state_size=4, num_hidden_layers=2, use_cache=False, pad_token_id=0
    )
    return of_words(NextWord(MambaForCausalLM(made)))


def rwkv() -> Network:
    from transformers import RwkvConfig, RwkvForCausalLM

    made = RwkvConfig(
        vocab_size=WORDS,
        hidden_size=32,
        attention_hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        context_length=64,
        use_cache=False,
    )
    return of_words(NextWord(RwkvForCausalLM(made)))
