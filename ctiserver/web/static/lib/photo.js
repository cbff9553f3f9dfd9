// A photo as it is sent: turned upright, scaled down, and without what the camera wrote into it, such as the place.
import { ApiError } from "./api.js";

const LONGEST_PX = 1600;
const QUALITY = 0.8;

/** A JPEG blob of a picture file, 1600 pixels at its longest. Rejects with an ApiError if it is none. */
export async function scaled(file) {
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new ApiError(0, "no_photo", `${file.name} is not a picture that this browser can read`);
  }
  const share = Math.min(1, LONGEST_PX / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * share));
  canvas.height = Math.max(1, Math.round(picture.height * share));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#ffffff"; // JPEG knows nothing of transparency
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}
