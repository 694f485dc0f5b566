"""The KV cache of a decoder's self-attention, in two layouts.

| layout | slots | used by |
|---|---|---|
| `GrowingCache` | added by `grow` | searches, in Keras and in a file |
| `FixedCache` | `Lowering.cache_slots` of them | files of static shapes |

A slot holds the key and the value of one token. All layers fill their slots alike, so the bias that
hides free slots belongs to the decoder, and each layer has a list of tensors of its own.
"""

from dataclasses import dataclass
from typing import ClassVar

from keras import ops

from ..layers.softmax import attention_weights, lowest_bias, mask_bias
from ..lowering import current_lowering
from ..shapes import dynamic_one


def kv_cache():
    """Return the layout that the current lowering asks for."""
    slots = current_lowering().cache_slots
    return GrowingCache() if slots is None else FixedCache(slots)


class GrowingCache:
    """Slots in two parts: old ones that a step reads, and new ones that it shifts and appends to.

    Only the new ones are copied at each step. `grow` moves them to the old ones, and adds free ones.
    No tensor is ever empty, because TFLite runtimes reject that: a decoder starts with a free old
    slot and a free new one.

    | state | shape |
    |---|---|
    | `self_bias`, `new_bias` | `(batch, 1, 1, slots)`: `lowest_bias` at free slots, else 0 |
    | `self_keys_i`, `self_values_i` | `(batch, num_key_heads, slots, head_dim)`: old |
    | `new_keys_values_i` | `(batch, 2 * num_key_heads, slots, head_dim)`: new, keys first |
    """

    shared_names = ("self_bias", "new_bias")
    layer_names = ("self_keys", "self_values", "new_keys_values")

    def start(self, source):
        """Number of old slots at first."""
        return dynamic_one(source)

    def start_shared(self, batch, slots, dtype):
        """The bias before the first token."""
        return {"self_bias": _free(batch, slots, dtype), "new_bias": _free(batch, 1, dtype)}

    def start_layer(self, attention, batch, slots):
        """The tensors of a layer whose slots are all free."""
        heads, dim, dtype = attention.num_key_heads, attention.head_dim, attention.compute_dtype
        old = ops.zeros((batch, heads, slots, dim), dtype)
        return [old, old, ops.zeros((batch, 2 * heads, 1, dim), dtype)]

    def advance(self, state):
        """Take a new slot; return the shared tensors that change, and the bias of all slots."""
        new = state["new_bias"]
        new = shift(new, ops.zeros_like(new[..., :1]), axis=3)
        return {"new_bias": new}, ops.concatenate([state["self_bias"], new], axis=3)

    def positions(self, bias, position):
        """Positions `(1,)` of the query, which is at `position (batch,)`, and `(slots,)` of the keys."""
        is_full = ops.cast(ops.equal(ops.reshape(bias[:1], (-1,)), 0), "int32")
        return position[:1], position[0] + ops.cumsum(is_full) - ops.sum(is_full)

    def append(self, layer, key, value):
        """Write a token's key and value, each `(batch, num_key_heads, 1, head_dim)`."""
        keys, values, new = layer
        return [keys, values, shift(new, ops.concatenate([key, value], axis=1), axis=2)]

    def attend(self, attention, query, layer, bias):
        """`MultiHeadAttention.attend` of one query per sentence over all slots, without weights.

        With a key head for each query head: products and sums. A matrix product would pack the whole
        cache at each step.
        """
        keys, values, new = layer
        new_keys, new_values = ops.split(new, 2, axis=1)
        if attention.num_heads != attention.num_key_heads:
            all_keys = ops.swapaxes(ops.concatenate([keys, new_keys], axis=2), 2, 3)
            all_values = ops.concatenate([values, new_values], axis=2)
            return attention.attend(query, all_keys, all_values, bias)[0]
        scores = [ops.sum(query * k, axis=3, keepdims=True) for k in (keys, new_keys)]
        scores = ops.transpose(ops.concatenate(scores, axis=2), (0, 1, 3, 2))
        weights = ops.transpose(attention_weights(scores, bias), (0, 1, 3, 2))
        size = ops.shape(new)[2]
        context = ops.sum(weights[:, :, :-size] * values, axis=2, keepdims=True)
        return context + ops.sum(weights[:, :, -size:] * new_values, axis=2, keepdims=True)

    def grow_shared(self, state, length):
        """The shared tensors with `length` free new slots."""
        bias = ops.concatenate([state["self_bias"], state["new_bias"]], axis=3)
        return {"self_bias": bias, "new_bias": _free(ops.shape(bias)[0], length, bias.dtype)}

    def grow_layer(self, layer, length):
        """A layer's tensors with `length` free new slots."""
        *old, new = layer
        parts = zip(old, ops.split(new, 2, axis=1), strict=True)
        batch, heads, _, dim = ops.shape(new)
        free = ops.zeros((batch, heads, length, dim), new.dtype)
        return [*(ops.concatenate(part, axis=2) for part in parts), free]


@dataclass(frozen=True)
class FixedCache:
    """A fixed number of slots: a step drops the oldest and appends its own.

    Slicing and concatenation leave numbers unchanged, so that in an integer file a cache keeps one
    scale, and no slot's place depends on a tensor's value. A full cache forgets its oldest token.

    | state | shape |
    |---|---|
    | `written` | `(batch, 1, 1, slots)`: 1 at written slots, 0 at free ones |
    | `self_keys_i` | `(batch, num_key_heads, head_dim, slots)` |
    | `self_values_i` | `(batch, num_key_heads, slots, head_dim)` |
    """

    slots: int
    shared_names: ClassVar = ("written",)
    layer_names: ClassVar = ("self_keys", "self_values")

    def start(self, source):
        """Number of slots."""
        return self.slots

    def start_shared(self, batch, slots, dtype):
        """The mask before the first token."""
        return {"written": ops.zeros((batch, 1, 1, slots), dtype)}

    def start_layer(self, attention, batch, slots):
        """The tensors of a layer whose slots are all free."""
        heads, dim, dtype = attention.num_key_heads, attention.head_dim, attention.compute_dtype
        shapes = (batch, heads, dim, slots), (batch, heads, slots, dim)
        return [ops.zeros(shape, dtype) for shape in shapes]

    def advance(self, state):
        """Take a slot; return the shared tensors that change, and the bias of all slots."""
        written = state["written"]
        written = shift(written, ops.ones_like(written[..., :1]), axis=3)
        return {"written": written}, mask_bias(written, written.dtype)

    def positions(self, bias, position):
        """Positions of the query and of the keys: only distances count, and a slot's is constant."""
        places = ops.arange(self.slots, dtype="int32")
        return places[-1:], places

    def append(self, layer, key, value):
        """Write a token's key and value, each `(batch, num_key_heads, 1, head_dim)`."""
        keys, values = layer
        key = ops.reshape(key, (-1, *keys.shape[1:3], 1))
        return [shift(keys, key, axis=3), shift(values, value, axis=2)]

    def attend(self, attention, query, layer, bias):
        """`MultiHeadAttention.attend` of one query per sentence over all slots, without weights."""
        return attention.attend(query, *layer, bias)[0]

    def grow_shared(self, state, length):
        """No shared tensor changes."""
        return {}

    def grow_layer(self, layer, length):
        """The same tensors."""
        return layer


def shift(slots, new, axis):
    """Drop the first of `slots` along `axis` and append `new`."""
    if slots.shape[axis] == 1:
        return new  # no tensor is ever empty
    kept = (slice(None),) * axis + (slice(1, None),)
    return ops.concatenate([slots[kept], new], axis=axis)


def _free(batch, slots, dtype):
    return ops.full((batch, 1, 1, slots), lowest_bias(dtype), dtype)
