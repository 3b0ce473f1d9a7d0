"""A model of one phase with fresh networks, as training begins: what steps are timed on."""


def fresh_model(preset, phase: int):
    """Compiled; on windows, above a generator that has not been trained either."""
    from mask_embedding_gan.generator import build_generator, finished_generator
    from mask_embedding_gan.players import build_players, compiled, windows_model
    from mask_embedding_gan.spectrum import IDENTITY, with_filter

    network = preset.network
    if network.has_windows(phase):
        previous = finished_generator(build_generator(network, phase - 1, fading=False), network, phase - 1)
        if network.levelled and phase == network.windows_from:
            previous = with_filter(previous, IDENTITY, f"image_{phase - 1}")
        return windows_model(previous, preset, phase, 0)
    return compiled(build_players(network, phase, 0, preset.precision), preset, phase, 0)
