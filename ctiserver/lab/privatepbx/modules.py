"""What the private Asterisk and the phones load, in an order that works; nothing else of their hundreds of modules."""

from __future__ import annotations

#: Later ones depend on earlier ones: res_agi on res_speech, app_mixmonitor on func_periodic_hook and func_cut.
MODULES = """
pbx_config res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_crypto
res_security_log res_convert
bridge_simple bridge_softmix bridge_native_rtp bridge_holding bridge_builtin_features bridge_builtin_interval_features
codec_ulaw codec_alaw codec_gsm codec_g722 codec_resample codec_a_mu codec_opus_open_source
format_pcm format_wav format_gsm format_sln format_wav_gsm res_format_attr_opus
res_http_websocket res_rtp_asterisk res_srtp res_pjsip res_pjsip_pubsub res_pjsip_session res_pjsip_sdp_rtp
res_pjsip_caller_id res_pjsip_authenticator_digest res_pjsip_outbound_authenticator_digest
res_pjsip_endpoint_identifier_user res_pjsip_endpoint_identifier_ip res_pjsip_registrar res_pjsip_nat
res_pjsip_rfc3326 res_pjsip_dtmf_info res_pjsip_refer res_pjsip_header_funcs res_pjsip_transport_websocket
res_pjsip_diversion res_pjsip_logger res_pjsip_notify
chan_pjsip chan_bridge_media
func_callerid func_channel func_strings func_logic func_global func_timeout func_db func_dialplan func_math func_uri
func_cut func_periodic_hook func_hangupcause func_groupcount func_pjsip_contact func_pjsip_endpoint func_cdr
func_devstate func_extstate func_volume func_env
res_musiconhold res_parking res_mutestream res_speech res_agi res_cdrel_custom
app_stack app_verbose app_userevent app_playback app_record app_read app_dial app_queue app_mixmonitor app_chanspy
app_confbridge app_senddtmf app_originate app_transfer app_directed_pickup app_db app_sayunixtime app_echo
app_softhangup app_exec app_waitforsilence
cdr_custom
""".split()  # noqa: SIM905 - one name a line would be a hundred lines

#: Of baresip: before an account is read, to read it, and once it is there.
PHONE_MODULES = ("g711", "ausine", "aufile", "aubridge", "sndfile", "uuid")
PHONE_ACCOUNT_MODULE = "account"
PHONE_APPLICATIONS = ("menu", "ctrl_tcp")
