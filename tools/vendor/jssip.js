// JsSIP as one ES module: the user agent is all that the console uses of it.
import JsSIP from "jssip";

export const { UA } = JsSIP;
