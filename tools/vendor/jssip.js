// JsSIP as one ES module. Its debug output is configured by localStorage, so nothing of it is exported here.
import JsSIP from "jssip";

export const { UA, WebSocketInterface, C: constants } = JsSIP;
